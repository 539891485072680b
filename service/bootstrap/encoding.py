# SPDX-License-Identifier: Apache-2.0
"""What a child process writes of one result: for each profile the kinds that somebody wants, and what went wrong."""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError

from service.bootstrap.refusal import refusal_of
from service.domain.profile import EncodingProfile, profile_key
from service.domain.record import load_result
from service.domain.result import PipelineResult
from service.ports import EncodedObject, EncodeRequest, ObjectSet, ResultContext, ResultKind, ResultObject
from service.results import ENCODERS
from service.results.redaction import redacted
from service.results.report.predecessors import with_series
from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.source.sources import Sources
from service.results.source.verbatim import left_out

MACHINE_FAULTS = (OSError, MemoryError)
"""What another try may mend; any other failure of an encoder costs its own objects and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An object that was written for a profile."""

    encoded: EncodedObject
    profile: EncodingProfile

    def as_result_object(self, problems: tuple[str, ...]) -> ResultObject:
        """Return it as the ledger keeps it."""
        return ResultObject(
            kind=self.encoded.kind,
            sop_class_uid=self.encoded.sop_class_uid,
            sop_instance_uid=self.encoded.sop_instance_uid,
            path=self.encoded.path,
            slot=self.encoded.slot,
            rank=self.encoded.rank,
            profile=profile_key(self.profile),
            problems=tuple(map(redacted, problems)),
        )


class EncodingJob:
    """Writes the objects of a request; `failures` are the kinds that could not be written, for whom and why."""

    def __init__(self, request: EncodeRequest) -> None:
        self._request = request
        self._result = load_result(request.analysis.folder)
        self._folder = objects_folder(request.analysis.folder)
        self.failures: list[tuple[ResultKind, ResultObject]] = []

    def written(self) -> Iterator[Written]:
        """Write, kind by kind."""
        for wanted in self._request.sets:
            for kind in wanted.kinds:
                for item in self._encoded(ResultKind(kind), wanted):
                    yield Written(encoded=item, profile=wanted.profile)

    def failed(self) -> tuple[ResultObject, ...]:
        """Return what could not be written."""
        return tuple(item for _, item in self.failures)

    def left_out(self) -> tuple[str, ...]:
        """Return the sequences of the source of which an item is not copied, because it is not valid."""
        analysis = self._request.analysis
        sources = Sources.of(ResultContext(sources=analysis.instances, revision=1, priority=analysis.priority))
        try:
            return left_out(sources.header(sources.first.sop_instance_uid))
        except (InvalidDicomError, *BAD_VALUE_ERRORS):
            return ()

    def _told(self, wanted: ObjectSet) -> PipelineResult:
        """Return what a set is to say: the result, or that there is none."""
        return refusal_of(self._request.analysis, wanted.refusal) if wanted.refusal else self._result

    def _encoded(self, kind: ResultKind, wanted: ObjectSet) -> tuple[EncodedObject, ...]:
        try:
            return ENCODERS[kind](self._told(wanted), _context(self._request, wanted, kind), self._folder)
        except MACHINE_FAULTS:
            raise
        except Exception as error:  # noqa: BLE001 - one kind that cannot be written must not cost the others
            self.failures.append((kind, _failed(kind, wanted, error, folder=self._folder)))
            return ()


def objects_folder(folder: Path) -> Path:
    """Return the folder of a job's objects."""
    objects = Path(folder) / "objects"
    objects.mkdir(exist_ok=True)
    return objects


def _context(request: EncodeRequest, wanted: ObjectSet, kind: ResultKind) -> ResultContext:
    prior = tuple(with_series(item) for item in wanted.predecessors if item.kind == kind)
    return ResultContext(
        sources=request.analysis.instances,
        revision=request.revision,
        priority=request.analysis.priority,
        may_raise=request.may_raise,
        profile=wanted.profile,
        predecessors=prior,
    )


def _failed(kind: ResultKind, wanted: ObjectSet, error: Exception, *, folder: Path) -> ResultObject:
    """Describe a failure by type and place: its text may quote the source."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    problem = f"the encoder failed: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
    return ResultObject(
        kind=kind,
        sop_class_uid="",
        sop_instance_uid="",
        path=folder,
        profile=profile_key(wanted.profile),
        problems=(problem,),
    )
