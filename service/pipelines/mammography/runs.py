# SPDX-License-Identifier: Apache-2.0
"""Which algorithm ended how on which views, for reports that must say so (PS3.16 TID 4015 to 4018)."""

from collections.abc import Collection, Iterator, Sequence

from service.codes import dcm
from service.domain.instance import Instance, sop_instance_uids
from service.domain.result import AlgorithmRun, RunKind, RunStatus
from service.pipelines.mammography.kinds import KINDS, KindName

EXAM_ANALYSIS = dcm("111234")
"""What makes one exam score of all views: the analysis of the overall impression (CID 6043)."""


def runs_of(
    selected: Sequence[Instance], read: Collection[Instance], *, kinds: Sequence[KindName], is_whole: bool
) -> tuple[AlgorithmRun, ...]:
    """Return the runs: each kind's detection on the views that were read or not, and the exam score over those read.

    The exam score has failed where a view that came was refused (`is_whole` is false): it speaks of a part of the exam.
    """
    return tuple(run for kind in kinds for run in _detections(selected, read, kind)) + tuple(
        _analysis(read, is_whole=is_whole)
    )


def _detections(selected: Sequence[Instance], read: Collection[Instance], kind: KindName) -> Iterator[AlgorithmRun]:
    parted = {
        RunStatus.SUCCEEDED: [instance for instance in selected if instance in read],
        RunStatus.FAILED: [instance for instance in selected if instance not in read],
    }
    for status, views in parted.items():
        if views:
            yield AlgorithmRun(
                kind=RunKind.DETECTION,
                subject=KINDS[kind].single,
                status=status,
                sop_instance_uids=sop_instance_uids(views),
            )


def _analysis(read: Collection[Instance], *, is_whole: bool) -> Iterator[AlgorithmRun]:
    if read:
        yield AlgorithmRun(
            kind=RunKind.ANALYSIS,
            subject=EXAM_ANALYSIS,
            status=RunStatus.SUCCEEDED if is_whole else RunStatus.FAILED,
            sop_instance_uids=sop_instance_uids(list(read)),
        )
