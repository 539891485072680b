# SPDX-License-Identifier: Apache-2.0
"""The count of `make chaos` sees what is lost and what is doubled."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.storage.statistics import StudyStatus
from tests.chaos.kill_node import count_faults
from tests.chaos.studies import CopiedStudy

STUDY = CopiedStudy(study_instance_uid="1.2", files=(Path("a"), Path("b")))
ROW = StudyStatus(
    study_instance_uid="1.2",
    received_at=0,
    instances=2,
    revision=1,
    pipeline="mammography",
    state="finished",
    outcome="findings",
    priority="routine",
    headline="",
    objects=2,
    delivered=2,
    refused=0,
    seconds=1.0,
)
REPORT = {"StudyInstanceUID": "1.2", "SOPInstanceUID": "1.2.1", "Modality": "SR"}
PICTURE = {"StudyInstanceUID": "1.2", "SOPInstanceUID": "1.2.2", "Modality": "OT"}


@pytest.mark.parametrize(
    ("tags", "row", "expected"),
    [
        ([REPORT, PICTURE], ROW, (0, 0)),
        ([PICTURE], ROW, (2, 0)),
        ([REPORT, PICTURE], None, (2, 1)),
        ([REPORT, PICTURE], replace(ROW, instances=1), (1, 0)),
        ([REPORT, {**REPORT, "SOPInstanceUID": "1.2.3"}], ROW, (0, 1)),
        ([REPORT, {**REPORT, "SOPInstanceUID": "1.2.3"}], replace(ROW, revision=2), (0, 0)),
        ([REPORT, PICTURE, PICTURE], ROW, (0, 1)),
    ],
)
def test_losses_and_doubles_are_counted(
    tags: list[dict[str, str]], row: StudyStatus | None, expected: tuple[int, int]
) -> None:
    rows = {"1.2": row} if row else {}
    assert count_faults(tags, rows, [STUDY]) == expected
