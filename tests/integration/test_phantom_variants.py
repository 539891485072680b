# SPDX-License-Identifier: Apache-2.0
"""Every awkward variant: valid DICOM by a judge that is not ours, and treated by the node as the table says."""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from harness.validators import dciodvfy
from harness.variants import Answer, answer_to, differences
from models.phantoms.variants.plans import FULL_PLANS, SMALL_PLANS, plain_study
from models.phantoms.variants.table import VARIANTS, write_variant
from models.phantoms.variants.variant import Expected, Variant
from service.domain.result import Outcome

ROWS = [variant for variants in VARIANTS.values() for variant in variants]
ANALYSED = {Outcome.FINDINGS, Outcome.NO_FINDINGS}
HAS_JUDGE = shutil.which("dciodvfy") is not None


def rows() -> Iterator[object]:
    """One parameter for each variant; open defects are expected failures, strictly."""
    for variant in ROWS:
        marks = [pytest.mark.xfail(reason=variant.defect, strict=True)] if variant.defect else []
        yield pytest.param(variant, id=f"{variant.kind}-{variant.name}", marks=marks)


class Plain:
    """The plain studies of one size, drawn once for the module, and what the node makes of them."""

    def __init__(self, folder: Path, *, is_full: bool) -> None:
        self._folder = folder
        self._plans = FULL_PLANS if is_full else SMALL_PLANS
        self.files = cache(self._files)
        self.answer = cache(self._answer)

    def _files(self, kind: str) -> tuple[Path, ...]:
        return self._plans[kind].write(self._folder / kind, plain_study(kind, "plain"))

    def _answer(self, kind: str) -> Answer:
        return answer_to(kind, self.files(kind))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    return Plain(tmp_path_factory.mktemp("small"), is_full=False)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    return Plain(tmp_path_factory.mktemp("full"), is_full=True)


def check(variant: Variant, plain: Plain, folder: Path) -> None:
    if variant.needs and shutil.which(variant.needs) is None:
        pytest.skip(f"PEERS MISSING: {variant.needs}; run tests/install_peers.sh")
    try:
        paths = write_variant(variant, plain.files(variant.kind), folder)
        if variant.is_valid and HAS_JUDGE:
            assert {path.name: dciodvfy(path) for path in {paths[0], paths[-1]}} == {
                path.name: [] for path in {paths[0], paths[-1]}
            }
        is_as_expected(variant, plain.answer(variant.kind), answer_to(variant.kind, paths))
    finally:
        shutil.rmtree(folder)


def is_as_expected(variant: Variant, plain: Answer, answer: Answer) -> None:
    assert variant.says in answer.says
    if variant.expected in {Expected.ALIKE, Expected.FLAGGED}:
        assert answer.outcome in ANALYSED, answer.says
        new = answer.flags - plain.flags
        assert new >= set(variant.reasons), f"flags {sorted(answer.flags)}"
        assert variant.is_loose or new == set(variant.reasons), f"flags {sorted(answer.flags)}"
        assert variant.is_loose or not differences(variant.kind, plain, answer)
        return
    assert answer.expected is variant.expected, f"{answer.outcome}: {answer.says}"
    assert set(variant.reasons) <= answer.codes, f"{sorted(answer.codes)}: {answer.says}"


@pytest.mark.parametrize("variant", tuple(rows()))
def test_the_node_does_what_the_table_says(variant: Variant, small: Plain, tmp_path: Path) -> None:
    check(variant, small, tmp_path / "variant")


@pytest.mark.phantoms_full
@pytest.mark.parametrize("variant", tuple(rows()))
def test_the_node_does_so_at_full_size(variant: Variant, full: Plain, tmp_path: Path) -> None:
    check(variant, full, tmp_path / "variant")


@pytest.mark.parametrize("kind", VARIANTS)
def test_the_plain_study_is_analysed_and_has_findings(kind: str, small: Plain) -> None:
    answer = small.answer(kind)
    assert answer.outcome == Outcome.FINDINGS, answer.says
    assert answer.numbers


@pytest.mark.peers
def test_the_judge_finds_what_is_not_valid(small: Plain, tmp_path: Path) -> None:
    (spoiled,) = [row for row in VARIANTS["hrct"] if row.name == "no-position"]
    assert dciodvfy(write_variant(spoiled, small.files("hrct"), tmp_path)[0])


def test_the_same_variant_gives_the_same_bytes(small: Plain, tmp_path: Path) -> None:
    for variant in (row for row in ROWS if row.name in {"monochrome1", "jpeg-ls", "enhanced", "with-spot"}):
        written = [
            write_variant(variant, small.files(variant.kind), tmp_path / f"{variant.kind}-{variant.name}-{number}")
            for number in range(2)
        ]
        assert [path.read_bytes() for path in written[0]] == [path.read_bytes() for path in written[1]]
