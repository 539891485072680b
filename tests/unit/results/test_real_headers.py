# SPDX-License-Identifier: Apache-2.0
"""Headers of real scanners, with everything that is wrong in them, do not break the encoding of a result."""

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from harness.studies import context_of, instance_of, result_of
from service.domain.instance import Instance
from service.domain.result import Outcome
from service.results import ENCODERS
from service.results.gate import check_object

MODALITIES = {"CR": "CR", "DX": "CR", "MG": "MG", "CT": "CT"}
FILES_PER_FOLDER = 12


def real_sources(folder: Path) -> Iterator[tuple[str, Instance]]:
    """Yield modality and instance of files that a peer could have sent: with their UIDs."""
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
            yield modality, instance_of(dataset, path)


@pytest.mark.real_data
@pytest.mark.peers
@pytest.mark.timeout(900)  # every kind of object of every file, each judged by programs of its own
@pytest.mark.parametrize("outcome", [Outcome.FINDINGS, Outcome.NOT_ANALYSED])
def test_real_headers_make_valid_results(outcome: Outcome, real_data_folder: Path, tmp_path: Path) -> None:
    checked, problems = 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for modality, source in real_sources(real_data_folder):
            result, context = result_of(modality, (source,), outcome), context_of(source)
            for encoder in ENCODERS.values():
                for entry in encoder(result, context, tmp_path / "out"):
                    # All forms of a report have one header: the programs need to see it once.
                    found = check_object(entry.path, validators=None if entry.rank == 0 else ())
                    problems += [f"{source.path.name}: {problem}" for problem in found]
                    entry.path.unlink()
                    checked += 1
    assert problems == []
    assert checked > 50
