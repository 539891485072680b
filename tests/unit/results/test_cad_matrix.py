# SPDX-License-Identifier: Apache-2.0
"""CAD reports of every pipeline, state and character set pass every validator, and belong to the study they are of."""

from pathlib import Path

import pytest

from harness.pairs import in_pairs
from harness.studies import (
    CHARACTER_SETS,
    cad_result_of,
    context_of,
    named_sources,
    prior_report,
    result_of,
    source_dataset,
    stored,
)
from harness.validators import PIXELMED, dcentvfy, pixelmed
from service.domain.result import Outcome, Priority
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.gate import check_object

CAD = (ResultKind.MAMMOGRAPHY_CAD, ResultKind.CHEST_CAD)
STATES = ((Outcome.FINDINGS, Outcome.NOT_ANALYSED), (Outcome.NO_FINDINGS, Outcome.PARTLY_ANALYSED))


@pytest.mark.peers
@pytest.mark.parametrize(
    ("character_set", "modality", "outcomes"), in_pairs(list(CHARACTER_SETS), ["MG", "CR", "CT"], STATES), ids=str
)
def test_every_state_passes_every_validator(
    character_set: str, modality: str, outcomes: tuple[Outcome, ...], tmp_path: Path
) -> None:
    """Two states of a study are two revisions of its result: they stand beside each other in the archive."""
    sources = named_sources(modality, character_set, tmp_path / "sources")
    context = context_of(*sources, revision=2, predecessors=(prior_report("2.25.7"),), priority=Priority.URGENT)
    study = [source.path for source in sources]
    for outcome in outcomes:
        result = result_of(modality, sources, outcome)
        made = [entry for encoder in ENCODERS.values() for entry in encoder(result, context, tmp_path / "first")]
        reports = [entry for entry in made if entry.kind in CAD]
        assert len(reports) == 1
        assert check_object(reports[0].path) == ()
        (again,) = ENCODERS[reports[0].kind](result, context, tmp_path / "second")
        assert again.path.read_bytes() == reports[0].path.read_bytes()
        study += [entry.path for entry in made]
    assert dcentvfy(study) == []


@pytest.mark.peers
@pytest.mark.skipif(not PIXELMED.exists(), reason="PixelMed's validator is not installed (Debian: libpixelmed-java)")
@pytest.mark.parametrize("outcome", [Outcome.FINDINGS, Outcome.NOT_ANALYSED])
def test_whole_template_of_mammography_is_kept(outcome: Outcome, tmp_path: Path) -> None:
    sources = tuple(stored(source_dataset("MG", number), tmp_path / "sources") for number in (1, 2))
    rich = cad_result_of(sources) if outcome is Outcome.FINDINGS else result_of("MG", sources, outcome)
    (entry,) = ENCODERS[ResultKind.MAMMOGRAPHY_CAD](rich, context_of(*sources), tmp_path)
    assert pixelmed(entry.path) == []


@pytest.mark.peers
@pytest.mark.skipif(not PIXELMED.exists(), reason="PixelMed's validator is not installed (Debian: libpixelmed-java)")
def test_pixelmed_finds_what_is_missing(tmp_path: Path) -> None:
    """The judge of the test above does judge: without an algorithm it complains."""
    import pydicom

    sources = (stored(source_dataset("MG"), tmp_path / "sources"),)
    result = result_of("MG", sources, Outcome.NO_FINDINGS)
    (entry,) = ENCODERS[ResultKind.MAMMOGRAPHY_CAD](result, context_of(*sources), tmp_path)
    dataset = pydicom.dcmread(entry.path)
    summary = dataset.ContentSequence[2]
    summary.ContentSequence = summary.ContentSequence[:1]
    pydicom.dcmwrite(entry.path, dataset)
    assert any("Algorithm Name" in complaint for complaint in pixelmed(entry.path))
