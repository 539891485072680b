# SPDX-License-Identifier: Apache-2.0
"""Every rule for CAD reports is seen to hold back its defect; a table says who else would have found it."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.studies import cad_result_of, context_of, result_of, runs_of_exam, source_dataset, stored
from service.domain.instance import Instance
from service.domain.result import Outcome, PipelineResult
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.lint.cad import CAD_RULES
from service.results.lint.report import children, concept, content_items
from service.results.lint.rules import RULES
from service.results.validators import dciodvfy, dsrdump

Change = Callable[[Dataset], None]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of each kind with everything in it, a partly analysed and a not analysed mammogram."""
    folder = tmp_path_factory.mktemp("reports")
    views = tuple(stored(source_dataset("MG", number), folder / "MG") for number in (1, 2, 3))
    films = tuple(stored(source_dataset("CR", number), folder / "CR") for number in (1, 2))
    runs = runs_of_exam(views, views[2])
    partly = cad_result_of(views, outcome=Outcome.PARTLY_ANALYSED, runs=runs)
    return {
        "MG": written(ResultKind.MAMMOGRAPHY_CAD, cad_result_of(views), views, folder / "positive"),
        "MG partly": written(ResultKind.MAMMOGRAPHY_CAD, partly, views, folder / "partly"),
        "MG not": written(
            ResultKind.MAMMOGRAPHY_CAD, result_of("MG", views, Outcome.NOT_ANALYSED), views, folder / "not"
        ),
        "MG negative": written(
            ResultKind.MAMMOGRAPHY_CAD, result_of("MG", views, Outcome.NO_FINDINGS), views, folder / "negative"
        ),
        "CR": written(ResultKind.CHEST_CAD, result_of("CR", films, Outcome.FINDINGS), films, folder / "chest"),
    }


def written(kind: ResultKind, result: PipelineResult, sources: tuple[Instance, ...], folder: Path) -> Path:
    (entry,) = ENCODERS[kind](result, context_of(*sources), folder)
    return entry.path


def named(dataset: Dataset, value: str) -> Iterator[Dataset]:
    return (item for item in content_items(dataset) if concept(item)[0] == value)


def first(value: str, change: Change) -> Change:
    """Change the first item of this name, wherever it is."""
    return lambda dataset: change(next(named(dataset, value)))


def each(value: str, change: Change) -> Change:
    """Change every item of this name."""

    def apply(dataset: Dataset) -> None:
        for item in list(named(dataset, value)):
            change(item)

    return apply


def without(value: str) -> Change:
    """Remove the children of this name."""

    def change(item: Dataset) -> None:
        item.ContentSequence = [child for child in children(item) if concept(child)[0] != value]

    return change


def put(keyword: str, value: object) -> Change:
    return lambda dataset: setattr(dataset, keyword, value)


def remove(keyword: str) -> Change:
    return lambda dataset: delattr(dataset, keyword)


def code(value: str, scheme: str = "DCM") -> Change:
    """Give an item another coded value."""

    def change(item: Dataset) -> None:
        (coded,) = item.ConceptCodeSequence
        coded.CodeValue, coded.CodingSchemeDesignator = value, scheme

    return change


def doubled(value: str) -> Change:
    def change(item: Dataset) -> None:
        item.ContentSequence.append(next(child for child in children(item) if concept(child)[0] == value))

    return change


def both(*changes: Change) -> Change:
    def change(dataset: Dataset) -> None:
        for one in changes:
            one(dataset)

    return change


def reference(path: list[int]) -> Change:
    """Let an item's first child refer to another place."""
    return lambda item: setattr(item.ContentSequence[0], "ReferencedContentItemIdentifier", path)


def no_unit(item: Dataset) -> None:
    del item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence


def number(value: str) -> Change:
    return lambda item: setattr(item.MeasuredValueSequence[0], "NumericValue", value)


def same_tracking(dataset: Dataset) -> None:
    uids = list(named(dataset, "112040"))
    uids[1].UID = uids[0].UID


def evidence_series(dataset: Dataset) -> Dataset:
    series: Dataset = dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    return series


def lost_evidence(dataset: Dataset) -> None:
    del evidence_series(dataset).ReferencedSOPSequence[0]


def double_evidence(dataset: Dataset) -> None:
    references = evidence_series(dataset).ReferencedSOPSequence
    references.append(references[0])


def without_images(item: Dataset) -> None:
    item.ContentSequence = [child for child in children(item) if "ReferencedContentItemIdentifier" not in child]


def by_value_from_a_text(item: Dataset) -> None:
    """Select coordinates from an item that is no image."""
    (child,) = item.ContentSequence
    child.ReferencedContentItemIdentifier = [1, 3, 1]


def unknown_class(dataset: Dataset) -> None:
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.69"


@dataclass(frozen=True, slots=True)
class Defect:
    """What is done to which report, and what our rule says of it."""

    report: str
    change: Change
    said: str


DEFECTS: dict[str, Defect] = {
    # results.md 5.4: the fifteen defects of CAD reports that validators were measured with
    "no image library": Defect("MG", without("111028"), "no Image Library with an image"),
    "no algorithm": Defect("MG", first("111059", without("111001")), "has no 'Algorithm Name'"),
    "no center": Defect("MG", first("111059", without("111010")), "does not have one Center"),
    "wrong relationship": Defect("MG", first("111010", put("RelationshipType", "CONTAINS")), "related by 'CONTAINS'"),
    "code outside its group": Defect("MG", first("111059", code("399162004", "SCT")), "not in CID 6014"),
    "number without unit": Defect("MG", first("111012", no_unit), "has no unit"),
    "evidence missing": Defect("MG", remove("CurrentRequestedProcedureEvidenceSequence"), "is no evidence"),
    "certainty 150 %": Defect("MG", first("111012", number("150")), "outside 0 to 100 %"),
    "dangling reference": Defect("MG", first("111010", reference([1, 2, 99])), "does not exist"),
    "coordinates without image": Defect("MG", first("111010", remove("ContentSequence")), "exactly one image"),
    "odd graphic data": Defect("MG", first("111041", put("GraphicData", [1] * 9)), "9 numbers"),
    "no template": Defect("MG", remove("ContentTemplateSequence"), "root template is ''"),
    "wrong title": Defect("MG", lambda root: put("CodeValue", "112000")(root.ConceptNameCodeSequence[0]), "the title"),
    "no modality": Defect("MG", remove("Modality"), "'Modality' is None"),
    "no completion flag": Defect("MG", remove("CompletionFlag"), "'CompletionFlag' is None"),
    # our own
    "no language": Defect("MG", without("121049"), "does not say its language"),
    "other language": Defect("MG", first("121049", code("xx", "RFC5646")), "not in CID 5000"),
    "final": Defect("MG", put("PreliminaryFlag", "FINAL"), "'PreliminaryFlag' is 'FINAL'"),
    "chest template": Defect("CR", remove("ContentTemplateSequence"), "not '4100'"),
    "chest library lost": Defect("CR", without("111028"), "no Image Library"),
    "library empty": Defect("MG", first("111028", remove("ContentSequence")), "no Image Library"),
    "two libraries": Defect("MG", doubled("111028"), "2 Image Libraries"),
    "two summaries": Defect("MG", doubled("111064"), "stands in the root 2 times"),
    "no summary of analyses": Defect("MG", without("111065"), "stands in the root 0 times"),
    "no version": Defect("MG", first("111022", without("111003")), "has no 'Algorithm Version'"),
    "composite without algorithm": Defect("MG", first("111015", without("111001")), "has no 'Algorithm Name'"),
    "no tracking": Defect("MG", first("111059", without("112040")), "has no 'Tracking Unique Identifier'"),
    "shared tracking": Defect("MG", same_tracking, "is used 2 times"),
    "no intent": Defect("MG", first("111059", without("111056")), "0 rendering intents"),
    "hidden finding": Defect("MG", first("111056", code("111152")), "so that a finding is hidden"),
    "unknown intent": Defect("MG", first("111056", code("111153")), "not in CID 6034"),
    "center is a line": Defect("MG", first("111010", put("GraphicType", "POLYLINE")), "not have one Center"),
    "two centers": Defect("MG", first("111059", doubled("111010")), "not have one Center"),
    "center of two points": Defect("MG", first("111010", put("GraphicData", [1, 2, 3, 4])), "POINT of 4 numbers"),
    "open outline": Defect("MG", first("111041", put("GraphicData", [1, 1, 9, 1, 9, 9, 1, 9])), "not closed"),
    "outside the image": Defect("MG", first("111010", put("GraphicData", [129, 1])), "leaves its image of 128 columns"),
    "left of the image": Defect("MG", first("111010", put("GraphicData", [-1, 1])), "leaves its image"),
    "selected from a text": Defect("MG", first("111010", by_value_from_a_text), "exactly one image"),
    "loop": Defect("MG", first("111041", reference([1, 3])), "in which it stands"),
    "modifier outside": Defect("CR", first("112024", code("40122008", "SCT")), "not in CID 6102"),
    "chest finding outside": Defect("CR", first("111059", code("112126")), "not in CID 6101"),
    "view outside": Defect("MG", first("111031", code("272479007", "SCT")), "not in CID 4014"),
    "side of a chest": Defect("MG", first("111027", code("24028007", "SCT")), "not in CID 6022"),
    "status outside": Defect("MG", first("111064", code("111241")), "not in CID 6042"),
    "chest algorithm as property": Defect(
        "CR", first("111056", put("RelationshipType", "HAS PROPERTIES")), "'Rendering Intent' is related by"
    ),
    "one image no evidence": Defect("MG", lost_evidence, "is no evidence"),
    "evidence twice": Defect("MG", double_evidence, "evidence lists"),
    "run without images": Defect("MG", first("111022", without_images), "names no image"),
    "without findings, with a finding": Defect("MG", first("111017", code("111241")), "which the findings contradict"),
    "with findings, without any": Defect("MG negative", first("111017", code("111242")), "the findings contradict"),
    "all succeeded, one failed": Defect("MG partly", first("111017", code("111242")), "not all algorithms succeeded"),
    "some failed, none did": Defect("MG", first("111017", code("111244")), "no algorithm failed"),
    "none succeeded, one did": Defect("MG negative", first("111017", code("111245")), "an algorithm succeeded"),
    "not analysed made negative": Defect("MG not", first("111017", code("111241")), "not all algorithms succeeded"),
    "not attempted with findings": Defect(
        "MG", both(each("111064", code("111225")), each("111065", code("111225"))), "not all algorithms succeeded"
    ),
    "not attempted with a run": Defect("MG", first("111064", code("111225")), "what it holds contradicts"),
    "succeeded with a failure": Defect("MG partly", first("111064", code("111222")), "what it holds contradicts"),
    "failed without a failure": Defect("MG", first("111064", code("111224")), "what it holds contradicts"),
    "research lost": Defect("MG", remove("ContentQualification"), "'ContentQualification' is None"),
    "another class": Defect("MG", unknown_class, "a class that the gate has no rules for"),
}


def problems_of(defect: Defect, reports: dict[str, Path], folder: Path) -> tuple[Path, tuple[str, ...]]:
    dataset = pydicom.dcmread(reports[defect.report])
    defect.change(dataset)
    path = folder / "changed.dcm"
    pydicom.dcmwrite(path, dataset)
    return path, check_object(path, validators=())


@pytest.mark.parametrize("report", ["MG", "MG partly", "MG not", "MG negative", "CR"])
def test_unchanged_reports_pass(report: str, reports: dict[str, Path]) -> None:
    assert check_object(reports[report], validators=()) == ()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", DEFECTS)
def test_defects_are_held_back(name: str, reports: dict[str, Path], tmp_path: Path) -> None:
    _, problems = problems_of(DEFECTS[name], reports, tmp_path)
    assert any(DEFECTS[name].said in problem for problem in problems), problems


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_rule_is_seen_to_fail(reports: dict[str, Path], tmp_path: Path) -> None:
    failed: set[str] = set()
    for defect in DEFECTS.values():
        dataset = pydicom.dcmread(reports[defect.report])
        defect.change(dataset)
        failed |= {rule.__name__ for rule in CAD_RULES if _holds_back(rule, dataset)}
    assert {rule.__name__ for rule in CAD_RULES} == failed


def _holds_back(rule: Callable[[Dataset], list[str]], dataset: Dataset) -> bool:
    """Say whether a rule finds something, not merely fails to read a broken object."""
    try:
        return bool(rule(dataset))
    except (KeyError, AttributeError, IndexError, ValueError, TypeError):
        return False


def test_each_cad_class_is_judged_by_its_rules() -> None:
    assert [uid for uid, rules in RULES.items() if rules is CAD_RULES] == [
        "1.2.840.10008.5.1.4.1.1.88.50",
        "1.2.840.10008.5.1.4.1.1.88.65",
    ]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_who_finds_what(reports: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Print the table: no validator alone would do, and nothing passes all."""
    rows, missed = [], []
    for name, defect in DEFECTS.items():
        path, own = problems_of(defect, reports, tmp_path)
        marks = ["x" if found else "-" for found in (own, dciodvfy(path), dsrdump(path))]
        rows.append(f"{name:34} {marks[0]:^5} {marks[1]:^8} {marks[2]:^7}")
        missed += [] if own else [name]
    with capsys.disabled():
        sys.stdout.write(f"\n{'CAD report with':34} gate  dciodvfy dsrdump\n" + "\n".join(rows) + "\n")
    assert missed == []
    others = [row for row in rows if "x" in row.split()[-2:]]
    assert 0 < len(others) < len(rows) / 2
