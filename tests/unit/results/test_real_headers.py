# SPDX-License-Identifier: Apache-2.0
"""Headers of real scanners, with everything that is wrong in them, do not break the encoding of a result."""

import warnings
from collections import Counter
from collections.abc import Hashable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from harness.studies import context_of, instance_of, result_of
from service.domain.instance import Instance
from service.domain.result import Outcome
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.source.verbatim import COMPRESSION, OPTIONAL, PLACE, REQUEST, REQUIRED, SIDE

MODALITIES = {"CR": "CR", "DX": "CR", "MG": "MG", "CT": "CT"}
FILES_PER_FOLDER = 12
SHARES = 4
"""So many tests share the files out, for as many workers."""
COPIED = (*REQUIRED, *OPTIONAL, *COMPRESSION, *SIDE, *PLACE, *REQUEST)
AT_LEAST = 12
"""Objects that each share makes at least; fewer, and the folder of real images has lost files."""


def header_of(modality: str, dataset: Dataset) -> Hashable:
    """What a result takes over from a file, and the series: slices that agree in both make the same results."""
    series = str(dataset.get("SeriesInstanceUID", ""))
    return modality, series, *(repr(dataset.get(keyword)) for keyword in COPIED)


def real_sources(folder: Path) -> Iterator[tuple[Hashable, str, Instance]]:
    """Yield header, modality and instance of files that a peer could have sent: with their UIDs."""
    seen: Counter[Path] = Counter()
    for path in sorted(entry for entry in folder.rglob("*") if entry.is_file()):
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, ValueError, KeyError, EOFError):
            continue
        modality = MODALITIES.get(str(dataset.get("Modality", "")))
        uids = [dataset.get(keyword) for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")]
        if modality and seen[path.parent] < FILES_PER_FOLDER and all(uid and UID(uid).is_valid for uid in uids):
            seen[path.parent] += 1
            yield header_of(modality, dataset), modality, instance_of(dataset, path)


def problems_of(
    folder: Path, out: Path, *, share: int, outcomes: dict[Outcome, bool], each_header_once: bool
) -> tuple[int, list[str]]:
    """Encode results on a share of the files; return how many objects were checked, and what is wrong with them.

    `outcomes` says for each outcome whether programs judge its objects, beside our own rules.
    """
    checked, problems, known = 0, [], set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources = []
        for header, modality, source in real_sources(folder):
            if not (each_header_once and header in known):
                sources.append((modality, source))
            known.add(header)
        for modality, source in sources[share::SHARES]:
            for outcome, is_judged in outcomes.items():
                result, context = result_of(modality, (source,), outcome), context_of(source)
                for encoder in ENCODERS.values():
                    for entry in encoder(result, context, out):
                        # All forms of a report have one header: the programs need to see it once.
                        judges = None if is_judged and entry.rank == 0 else ()
                        found = check_object(entry.path, validators=judges)
                        problems += [f"{source.path.name}, {outcome}: {problem}" for problem in found]
                        entry.path.unlink()
                        checked += 1
    return checked, problems


@pytest.mark.real_data
@pytest.mark.peers
@pytest.mark.timeout(900)  # every kind of object of every header, each judged by programs of its own
@pytest.mark.parametrize("share", range(SHARES))
def test_real_headers_make_valid_results(share: int, real_data_folder: Path, tmp_path: Path) -> None:
    """One code writes the header whatever the outcome: programs judge the one with the most kinds of object."""
    checked, problems = problems_of(
        real_data_folder,
        tmp_path,
        share=share,
        outcomes={Outcome.FINDINGS: True, Outcome.NOT_ANALYSED: False},
        each_header_once=True,
    )
    assert problems == []
    assert checked > AT_LEAST


@pytest.mark.full_matrix
@pytest.mark.real_data
@pytest.mark.peers
@pytest.mark.timeout(900)
@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("share", range(SHARES))
def test_every_file_makes_valid_results_of_every_outcome(
    share: int, outcome: Outcome, real_data_folder: Path, tmp_path: Path
) -> None:
    checked, problems = problems_of(
        real_data_folder, tmp_path, share=share, outcomes={outcome: True}, each_header_once=False
    )
    assert problems == []
    assert checked > AT_LEAST
