# SPDX-License-Identifier: Apache-2.0
"""The whole sheet, from a film to what every object says of it, with packages that read less and more."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

import service
from models.phantoms.chest_radiograph.film import anatomy, radiograph, stored
from models.phantoms.chest_radiograph.opacities import ZONES, Disease
from models.phantoms.dicom import PhantomStudy, write_dx
from service.domain.profile import EncodingProfile, Language
from service.domain.result import Outcome, PackageStatus, PipelineResult, Presence, Priority
from service.domain.sheet import NOT_READ
from service.domain.study import Selection
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline
from service.pipelines.pneumoconiosis.sheet_rows import NOTE, signed
from service.ports import ResultContext
from service.results.gate import check_object
from service.results.picture.heatmap_sc import encode_heatmaps
from service.results.report.chest_cad import encode_chest_cad
from service.results.report.sr_forms import encode_sr
from service.results.report.sr_text import encode_text
from service.results.words.japanese_film import QUESTIONS
from service.results.words.wording import JAPANESE

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
PIPELINE = PneumoconiosisPipeline()
PITCH_MM = 0.5
DUST = Disease(levels=dict.fromkeys(ZONES, 8), primary="q", secondary="q")
ONE_SIDED = Disease(levels={"RU": 10, "RM": 10, "RL": 10}, primary="r", secondary="r")
MANAGEMENT = re.compile(r"管理区分|管理\s*[1-4イロ]|management\s+class", re.IGNORECASE)


PLEURAL = {
    "least_mm2": 60,
    "findings": {
        "thickening": {"threshold": 0.5},
        "plaque": {"threshold": 0.5, "off": {"called": 4, "films": 22}},
        "calcification": {"threshold": 0.5},
        "angle": {"threshold": 0.5},
    },
}


class Reading:
    """The demonstration package under another status, with graphs that find what a test has drawn."""

    def __init__(
        self, package: Any, *, status: PackageStatus, large: np.ndarray | None = None, pleura: np.ndarray | None = None
    ) -> None:
        self._package, self._found = package, {"largeop": large, "pleura": pleura}
        self.identity = replace(package.identity, status=status)
        how = {"input": "film", "output": "scores", "size": 420}
        kept = {name: value for name, value in package.parameters.items() if name not in ("large_opacities", "pleura")}
        self.parameters = {
            **kept,
            **({} if large is None else {"large_opacities": {**how, "graph": "largeop", "threshold": 0.5}}),
            **({} if pleura is None else {"pleura": {**how, **PLEURAL, "graph": "pleura"}}),
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._package, name)

    def run(self, graph: str, inputs: Any) -> Any:
        if graph in self._found:
            return {"scores": self._found[graph]}
        return self._package.run(graph, inputs)


@pytest.fixture(scope="module")
def body():
    return anatomy(12, shape=(840, 760), pitch_mm=PITCH_MM)


@pytest.fixture(scope="module")
def source(body, as_instance, tmp_path_factory):
    path = tmp_path_factory.mktemp("sheet") / "film.dcm"
    pixels = stored(radiograph(body, disease=DUST, seed=1))
    return as_instance(write_dx(path, pixels, study=PhantomStudy(seed="sheet"), pixel_spacing_mm=PITCH_MM))


def run(instance, package) -> PipelineResult:
    selection = PIPELINE.select([instance], {**package.acceptance, "pixel_spacing_max_mm": 0.5})
    assert isinstance(selection, Selection), selection
    return PIPELINE.run(selection, package, analysed_at=NOW)


@pytest.fixture(scope="module")
def demonstration(source, package):
    return run(source, package)


@pytest.fixture(scope="module")
def validated(source, package):
    """A site-validated package: a large opacity of 20 mm in the right upper zone, the left angle, no plaques read."""
    scores = np.zeros((1, 1, 420, 420), dtype=np.float32)
    rows, columns = np.mgrid[0:420, 0:420] + 0.5
    scores[0, 0] = np.hypot(columns - 140, rows - 120) <= 10
    pleura = np.zeros((1, 4, 420, 420), dtype=np.float32)
    pleura[0, 3, 250:330, 260:] = 0.9
    pleura[0, 1] = 1.0
    return run(source, Reading(package, status=PackageStatus.SITE_VALIDATED, large=scores, pleura=pleura))


def rows_of(result: PipelineResult) -> dict[str, str]:
    assert result.sheet is not None
    return {f"{section.title}/{row.name}": row.answer for section in result.sheet.sections for row in section.rows}


def codes_of(result: PipelineResult) -> dict[str, str]:
    return {entry.name.value: entry.value.value for entry in result.findings[0].evaluations}


def test_what_is_not_read_is_said_to_be_not_read(demonstration):
    rows = rows_of(demonstration)
    unread = {name for name, answer in rows.items() if answer.startswith(NOT_READ)}
    assert unread == {
        "Film quality/Grade 1 to 4",
        "Film quality/Rotation, breath, scapulae, artefacts",
        "Large opacities/Category, ILO rule",
        "Large opacities/Category, Japanese rule",
        "Pleura/Pleural abnormality",
        "Symbols/Obligatory symbols",
    }
    flagged = {
        f"{section.title}/{row.name}"
        for section in demonstration.sheet.sections
        for row in section.rows
        if not row.is_read
    }
    assert flagged == unread
    assert "Large opacities, pleura and symbols are not read." in demonstration.summary


def test_the_sheet_says_what_it_is_not(demonstration):
    assert demonstration.sheet.note == NOTE
    assert NOTE.startswith("Suggestive, not an ILO classification")
    assert NOTE in demonstration.summary


def test_profusion_shape_and_zones_are_those_of_the_codes(demonstration):
    rows, codes = rows_of(demonstration), codes_of(demonstration)
    assert codes["112151"] == f"ILO-PROF-{rows['Small opacities/Profusion'].split()[0]}"
    assert f"{codes['ILO-SHAPE-1'][-1]}/{codes['ILO-SHAPE-2'][-1]}" == rows["Small opacities/Shape and size"]
    affected = [e.value.value[-2:] for e in demonstration.findings[0].evaluations if e.name.value == "ILO-ZONE"]
    assert ", ".join(affected) == rows["Small opacities/Zones at 0/1 or more"]
    for finding in demonstration.findings[1:]:
        assert finding.evaluations[0].value.value.removeprefix("ILO-PROF-") in finding.label


def test_zone_shares_are_lines_measurements_and_record(demonstration):
    values, lines = demonstration.values, demonstration.heatmaps[0].lines
    shares = {zone: values[f"zone_{zone}_contribution"] for zone in ZONES}
    assert sum(shares.values()) == pytest.approx(values["overall_score"] - values["contribution_baseline"], abs=1e-5)
    assert values["contribution_residual"] < 1e-9
    assert lines[2] == "Right, share of the score: " + " ".join(signed(shares[zone]) for zone in ("RU", "RM", "RL"))
    assert lines[3] == "Left, share of the score: " + " ".join(signed(shares[zone]) for zone in ("LU", "LM", "LL"))
    for zone, finding in zip(ZONES, demonstration.findings[1:], strict=True):
        (measured,) = finding.measurements
        assert measured.name.value == "SCORE-SHARE"
        assert measured.value == pytest.approx(shares[zone], abs=1e-4)


@pytest.mark.parametrize(("share", "shown"), [(0.204, "+0.20"), (-0.2, "-0.20"), (-0.001, "+0.00"), (0.0, "+0.00")])
def test_shares_have_a_sign_and_no_negative_nothing(share, shown):
    assert signed(share) == shown


def test_a_demonstration_names_no_type_in_its_header_line_or_codes(demonstration):
    said = [demonstration.headline, *demonstration.heatmaps[0].lines, *(f.label for f in demonstration.findings)]
    assert not any("PR" in line for line in said)
    assert "JPN-PR-CAND" not in codes_of(demonstration)
    assert (
        demonstration.values["jpn_pr_candidate"] in rows_of(demonstration)["Pneumoconiosis Act (Japan)/Type, candidate"]
    )


def test_a_validated_package_names_the_candidate_and_that_it_is_one(validated):
    assert validated.headline.endswith(", PR4 candidate")
    assert codes_of(validated)["JPN-PR-CAND"] == "JPN-PRC4"
    (code,) = [e.value for e in validated.findings[0].evaluations if e.name.value == "JPN-PR-CAND"]
    assert code.meaning.startswith("Candidate: ")
    assert len(validated.headline) <= 64


def test_large_opacities_are_categorised_by_both_rules_and_boxed(validated, source):
    rows, codes = rows_of(validated), codes_of(validated)
    assert re.fullmatch(r"A, longest diameters 2[01] mm, area 3 cm2", rows["Large opacities/Category, ILO rule"])
    assert (codes["ILO-LARGE"], codes["JPN-LARGE"]) == ("ILO-LARGE-A", "JPN-LARGE-A")
    (large,) = [finding for finding in validated.findings if finding.key.startswith("large-")]
    assert large.presence is Presence.PRESENT
    assert re.fullmatch(r"Large opacity, right, 2[01] mm", large.label)
    x0, y0, x1, y1 = large.region.bounds
    assert x1 - x0 == pytest.approx(40, abs=3)
    assert y1 - y0 == pytest.approx(40, abs=3)
    assert "Part of the pleura and symbols are not read." in validated.summary


def test_the_pleura_is_told_by_finding_and_side_and_what_is_off_says_so(validated):
    rows, codes = rows_of(validated), codes_of(validated)
    assert {name: answer for name, answer in rows.items() if name.startswith("Pleura/")} == {
        "Pleura/Diffuse thickening": "none",
        "Pleura/Plaque": "not read (switched off: 4 of 22 normal films were called)",
        "Pleura/Calcification": "none",
        "Pleura/Costophrenic angle obliterated": "left",
    }
    assert (codes["ILO-CPA"], codes["ILO-DPT"]) == ("ILO-PL-SITE-L", "ILO-PL-SITE-O")
    assert "ILO-PPLAQ" not in codes
    assert validated.values["pleura_angle_sides"] == ["L"]
    assert "pleura_plaque_sides" not in validated.values
    assert validated.values["pleura_plaque_R_score"] == 1.0


def test_a_large_opacity_alone_is_a_finding(as_instance, body, package, tmp_path):
    clear = stored(radiograph(body, disease=Disease(), seed=8))
    path = write_dx(tmp_path / "clear.dcm", clear, study=PhantomStudy(seed="clear"), pixel_spacing_mm=PITCH_MM)
    scores = np.zeros((1, 1, 420, 420), dtype=np.float32)
    scores[0, 0, 110:140, 120:150] = 1
    reading = Reading(package, status=PackageStatus.RESEARCH, large=scores)
    result = run(as_instance(path), reading)
    assert result.outcome is Outcome.FINDINGS
    assert result.headline.startswith("Large opacity A (ILO rule), small opacities 0/")
    assert result.findings[0].presence is Presence.ABSENT


def test_the_pleura_alone_is_a_finding(as_instance, body, package, tmp_path):
    clear = stored(radiograph(body, disease=Disease(), seed=8))
    path = write_dx(tmp_path / "clear.dcm", clear, study=PhantomStudy(seed="clear"), pixel_spacing_mm=PITCH_MM)
    pleura = np.zeros((1, 4, 420, 420), dtype=np.float32)
    pleura[0, 3, 250:330] = 0.9
    result = run(as_instance(path), Reading(package, status=PackageStatus.RESEARCH, pleura=pleura))
    assert result.outcome is Outcome.FINDINGS
    assert result.headline.startswith("Pleural findings, small opacities 0/")
    assert rows_of(result)["Pleura/Costophrenic angle obliterated"] == "right and left"
    assert result.findings[0].presence is Presence.ABSENT


def test_disease_of_one_lung_has_no_candidate_and_a_flag(as_instance, body, package, tmp_path):
    pixels = stored(radiograph(body, disease=ONE_SIDED, seed=2))
    path = write_dx(tmp_path / "one.dcm", pixels, study=PhantomStudy(seed="one"), pixel_spacing_mm=PITCH_MM)
    result = run(as_instance(path), Reading(package, status=PackageStatus.RESEARCH))
    assert result.outcome is Outcome.FINDINGS
    assert "unilateral" in {flag.code for flag in result.flags}, result.heatmaps[0].lines
    assert result.values["jpn_pr_candidate"] is None
    assert "candidate" not in result.headline
    assert "JPN-PR-CAND" not in codes_of(result)


# --- what every object says ------------------------------------------------------------------------------------------


def objects(result: PipelineResult, source, folder: Path, language: Language, **choices: Any) -> Iterator[Path]:
    context = ResultContext(
        sources=(source,),
        revision=1,
        priority=Priority.ROUTINE,
        profile=EncodingProfile(language=language, **choices),
    )
    for encode in (encode_sr, encode_text, encode_chest_cad, encode_heatmaps):
        for encoded in encode(result, context, folder):
            yield encoded.path


def texts(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR in {"LO", "LT", "PN", "SH", "ST", "UC", "UT"}:
            yield str(element.value)


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("kind", ["demonstration", "validated"])
def test_every_object_passes_the_gate_and_names_no_management_class(kind, language, source, request, tmp_path):
    result = request.getfixturevalue(kind)
    said = []
    for path in objects(result, source, tmp_path, language):
        assert check_object(path) == ()
        said += list(texts(dcmread(path)))
    assert len(said) > 300
    assert not [text for text in said if MANAGEMENT.search(text)]
    note = JAPANESE.line(NOTE) if language is Language.JAPANESE else NOTE
    assert any(note in text for text in said)


def test_the_search_would_find_a_management_class():
    assert all(MANAGEMENT.search(text) for text in ("じん肺管理区分", "管理2", "Management class 2", "管理 3イ"))


def test_nothing_that_the_node_can_say_names_a_management_class():
    folder = Path(service.__file__).parent
    files = [path for suffix in ("*.py", "*.csv") for path in folder.rglob(suffix)]
    assert len(files) > 100
    assert [path.name for path in files if MANAGEMENT.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("kind", ["demonstration", "validated"])
def test_every_question_and_answer_is_said_in_japanese(kind, request):
    result = request.getfixturevalue(kind)
    sheet = result.sheet
    asked = {sheet.title, *(s.title for s in sheet.sections), *(row.name for s in sheet.sections for row in s.rows)}
    assert asked - QUESTIONS.keys() == set()
    answers = [row.answer for section in sheet.sections for row in section.rows]
    for line in (*answers, sheet.note, result.headline, *result.summary, *result.heatmaps[0].lines):
        said = JAPANESE.line(line)
        assert said != line or not re.search(r"[a-z]{3}", line.replace("mm", "")), line
        shown = re.sub(r"第\d型", "", said)
        kept = re.sub(r"types? \d( to \d)?|1 to 4", "", line)
        assert sorted(re.findall(r"\d+(?:[./]\d+)*", shown)) == sorted(re.findall(r"\d+(?:[./]\d+)*", kept)), line


def test_the_sheet_is_the_last_picture_where_there_is_room(demonstration, source, tmp_path):
    for most, pages in ((30, 2), (2, 2), (1, 1)):
        folder = tmp_path / str(most)
        folder.mkdir()
        paths = [
            path
            for path in objects(demonstration, source, folder, Language.ENGLISH, max_secondary_captures=most)
            if dcmread(path, stop_before_pixels=True).SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
        ]
        headers = sorted((dcmread(path) for path in paths), key=lambda header: header.InstanceNumber)
        assert [header.InstanceNumber for header in headers] == list(range(1, pages + 1))
        assert headers[0].Rows > headers[0].Columns * 0.5
        assert len({header.SOPInstanceUID for header in headers}) == pages
        assert pages == 1 or (headers[1].Rows, headers[1].Columns) == (1024, 1280)
