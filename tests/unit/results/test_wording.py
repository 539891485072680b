# SPDX-License-Identifier: Apache-2.0
"""Whatever is said in Japanese can be encoded, drawn and understood; no state can be taken for another."""

import inspect
import re
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from PIL import ImageFont

from harness.studies import result_of
from service.codes import table
from service.domain.fetch import FetchOutcome, fetch_flag
from service.domain.instance import Instance
from service.domain.result import Outcome, Presence, Reason
from service.pipelines.certainty import INDETERMINATE
from service.pipelines.diffuse_lung.icoerd import FINDINGS
from service.pipelines.diffuse_lung.rules import default_rules
from service.pipelines.familiarity import OUT_OF_DISTRIBUTION
from service.results.page import paper, printed
from service.results.words import japanese, japanese_film, wording
from service.results.words.wording import JAPANESE, WORDS, Words, comments

SOURCE = inspect.getsource(japanese) + inspect.getsource(japanese_film)
REFUSAL_CODE = re.compile(r"code=\"([a-z_]+)\"|\b(?:reason|_reason|_refused)\(\s*(?:\w+,\s*)?\"([a-z_]+)\",")
languages = pytest.mark.parametrize("words", WORDS.values(), ids=lambda words: words.language.value)


def meanings() -> Iterator[str]:
    yield from (entry.meaning_ja for entry in table().values())


def test_japanese_lies_in_jis_x_0208() -> None:
    for text in (SOURCE, *meanings()):
        for character in text:
            raw = character.encode("iso2022_jp")
            assert character.isascii() or raw.startswith(b"\x1b$B"), character


def test_typefaces_hold_every_character_that_is_said() -> None:
    needed = {character for text in (SOURCE, *meanings()) for character in text if character.isprintable()}
    for name in (paper.REGULAR, paper.BOLD):
        with as_file(files("service.results").joinpath("fonts", f"{name}.ttf")) as path:
            font = ImageFont.truetype(str(path), 20)
        missing = bytes(font.getmask("\uffff"))
        absent = {each for each in needed if not each.isspace() and bytes(font.getmask(each)) == missing}
        assert absent == set()


def test_every_reason_of_a_pipeline_is_said_in_japanese() -> None:
    folder = Path(inspect.getfile(japanese)).parents[2]
    found = set()
    for room in ("bootstrap", "domain", "pipelines", "workflow"):
        for path in folder.joinpath(room).rglob("*.py"):
            found |= {first or second for first, second in REFUSAL_CODE.findall(path.read_text(encoding="utf-8"))}
    assert len(found) > 50
    found |= {flag.code for flag in map(fetch_flag, FetchOutcome) if flag is not None}
    assert (found | {OUT_OF_DISTRIBUTION, INDETERMINATE}) - japanese.REASONS.keys() == set()


LINES = (
    "No small opacities of profusion 1/0 or more (0/0)",
    "Small opacities, profusion 3/2, shape r/q",
    "RU profusion 3/3",
    "Right upper, middle, lower: 3/3 3/2 3/2",
    "Model score 0.99 (uncalibrated); review first at 0.55",
    "Model score 0.99; review first at 0.55",
    "Calibrated: 0.31 at a prevalence of 50 %",
    "Calibrated: 0.31 at a prevalence of 50 %, 0.04 at the site's 2.5 %",
    "Profusion 2/1, 80 % set 1/2 to 2/2",
    "Right upper, middle, lower, 80 % sets: 1/0 to 1/2, 0/1 to 1/1, -",
    "Lung patches outside the training distribution: 3 %",
    "Lung patches without a settled pattern: 12 %",
    "Confidence: mean margin 0.83 between the two likeliest patterns",
    "Confidence: mean margin 0.62 between 1/0 or more and less",
    "Disagreement of the models: mean divergence 0.05 nats",
    "Overall profusion is the mean over zones read as 0/1 or more.",
    "Large opacities, pleura and symbols are not read.",
    "Part of the pleura and symbols are not read.",
    "Pleural findings, small opacities 0/1",
    "Pleural findings, small opacities 0/1, PR0 candidate",
    "not read (switched off: 4 of 22 normal films were called)",
    "Pleura and symbols are not read.",
    "Symbols are not read.",
    "Large opacity B (ILO rule), small opacities 3/2, PR4 candidate",
    "No small opacities of profusion 1/0 or more (0/0), PR0 candidate",
    "Small opacities, profusion 3/2, shape r/q, PR3 candidate",
    "Right, share of the score: +0.28 -0.01 +0.00",
    "Routing, not urgency: expert readers' queue (score 0.95, review first at 0.55)",
    "Demonstration, routes nothing; it would say: Routing, not urgency: ordinary queue (score 0.35, screening at 0.55)",
    "At 2 % prevalence PPV 34 %, NPV 99.8 % (sensitivity 0.90, specificity 0.96, measured on 48 films; not patients)",
    "At 0.5 % prevalence PPV unknown, NPV 98 % (sensitivity 0.00, specificity 1.00, measured on 10 films)",
    "At 2 % prevalence PPV and NPV are unknown: the package gives no sensitivity and specificity",
    "Suggestive, not an ILO classification: that takes a reader and the ILO standard images beside the film.",
    "Large opacity, right, 34 mm",
    "Mammography: 2 marks (left MLO), exam score 1.00",
    "Mammography: 1 mark (right breast), exam score 0.80, not all views",
    "Mammography: no marks, exam score 0.03",
    "View scores: R CC 0.04, L MLO 0.99",
    "Breast scores: right 0.08, left 1.00",
    "Exam score 1.00; operating point triage at 0.69",
    "Standard views not read: L MLO",
    "Mass candidate, left CC, score 0.91",
    "No mass candidate, right MLO",
    "Left CC: view score 0.99",
    "Marks with score 0.35 or more: 1",
    "Diffuse lung: no pattern above cut-off; without any 98 %",
    "Diffuse lung: honeycombing 35 %, ground glass + nodules 11 %",
    "Honeycombing: 35 % of lung",
    "Reticulation: 12 % of right upper zone",
    "% of lung area on 12 slices, 10 mm apart, no volumes; R and L by upper/middle/lower zone",
    "Honeycombing: 35 % of subpleural and 7 % of central lung, upper to lower 0.4",
    "Honeycombing: 35 % of subpleural and 7 % of central lung, upper to lower not defined",
    "Zones: cut at the carina and at 40 % of the way from it to the lung base, which stands for the inferior veins",
    "ICOERD grades, R and L by upper/middle/lower zone; 1, 2, 3 from 5, 25, 50 % of a zone",
    "ICOERD irregular or linear: R 0/1/2, L -/0/3; sum 6 of 18",
    "ICOERD honeycombing: R 0/1/2, L -/0/3; sum not read of 18",
    "Features present: no honeycombing (below 2 %) [R08]",
    "Change since the study of 2024-03-01 (diffuse-lung-demo 0.1.0)",
    "Honeycombing, before and now: 10.0 and 15.0 %, +5.0 points (+50 %)",
    "Honeycombing, before and now: 0.0 and 5.0 %, +5.0 points",
    "Ground glass: 4 % of this slice",
    "Honeycombing: 35 (R 0/37/74, L 0/37/75)",
    "Key slice at -61.5 mm",
    "LAA-950: 5",
    "No diffuse lung pattern above its cut-off",
    "Diffuse lung: not analysed (slice too thick)",
    "Mammography: NOT ANALYSED",
)


@pytest.mark.parametrize("line", LINES)
def test_lines_of_the_pipelines_are_said_in_japanese_with_every_number(line: str) -> None:
    said = JAPANESE.line(line)
    assert said != line
    assert not said.isascii()
    if "not analysed" not in line.lower():
        assert sorted(re.findall(r"\d+(?:[./]\d+)*", said)) == sorted(re.findall(r"\d+(?:[./]\d+)*", line))


def test_an_unknown_line_is_not_left_out() -> None:
    assert JAPANESE.line("Something new: 12 %") == "Something new: 12 %"


@languages
def test_no_state_can_be_taken_for_another(words: Words) -> None:
    for table_of_words in (words.outcomes, words.states):
        assert set(table_of_words) == set(Outcome)
        for one in Outcome:
            others = [table_of_words[other] for other in Outcome if other is not one]
            assert not any(table_of_words[one] in other for other in others)


@languages
def test_negative_is_never_called_normal_and_refusal_never_negative(words: Words) -> None:
    for text in (*words.outcomes.values(), *words.states.values(), *words.presences.values()):
        assert not re.search(r"normal|healthy|clear|正常|異常なし|陰性", text, re.IGNORECASE)
    assert words.not_negative_sentence in words.states[Outcome.NOT_ANALYSED]
    assert words.presences[Presence.ABSENT] != words.presences[Presence.UNDETERMINED]


@languages
@pytest.mark.parametrize("outcome", list(Outcome))
def test_comments_name_the_state_and_the_warnings(
    words: Words, outcome: Outcome, radiograph: Instance, tmp_path: Path
) -> None:
    result = result_of("CR", (radiograph,), outcome)
    said = "\n".join(comments(result, words, notes=("a note",)))
    assert words.research_sentence in said
    assert ("(0018,5101)" in said) == (outcome in {Outcome.PARTLY_ANALYSED, Outcome.NOT_ANALYSED})
    assert (words.not_negative_sentence in said) == (outcome is Outcome.NOT_ANALYSED)
    assert (words.demonstration_sentence in said) == (result.package is not None)
    assert "a note" in said


def test_reasons_keep_element_value_and_rule() -> None:
    reason = Reason(code="slice_too_thick", message="(0018,0050) 'Slice Thickness' value 5 mm; at most 1.5 mm")
    assert JAPANESE.reason(reason).startswith("スライスが厚すぎます。")
    assert reason.message in JAPANESE.reason(reason)
    assert JAPANESE.reason(Reason(code="new", message="why")) == "why"


def test_modules_have_words_in_both_languages_for_all_that_they_say() -> None:
    said = set()
    for module in (printed, wording):
        said |= set(re.findall(r"(?:term|_more|heading)\((?:[^()\"]*, )?\"([^\"]+)\"", inspect.getsource(module)))
    assert len(said) > 8
    assert said - japanese.TERMS.keys() == set()


def test_what_the_rules_of_the_node_say_is_said_in_japanese() -> None:
    for rule in default_rules():
        assert rule.says in japanese.FEATURES
        assert not JAPANESE.line(f"Features present: {rule.says} [{rule.id}]").startswith("Features")


def test_the_sheet_is_said_in_japanese() -> None:
    assert JAPANESE.line("ICOERD not read: large opacities, pleura") == "ICOERDで読まれていないもの:大陰影、胸膜"
    assert {finding.title.lower() for finding in FINDINGS} <= japanese.SHEET.keys()
    for words in ("volume", "area of the slices"):
        said = JAPANESE.line(f"Zones: equal thirds of lung {words}; the carina was not found")
        assert not said.isascii()
