# SPDX-License-Identifier: Apache-2.0
"""The seam to the child processes that decode, infer and encode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from service.domain.companion import Companion
from service.domain.drift import DriftReference, Monitored
from service.domain.instance import Instance
from service.domain.population import Population
from service.domain.profile import EncodingProfile
from service.domain.result import Outcome, PackageIdentity, Priority, Reason, Triage


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledPackage:
    """A model package that passed its checks, as far as deciding about studies needs it."""

    identity: PackageIdentity
    acceptance: Mapping[str, Any]
    drift: DriftReference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorAnalysis:
    """An older study of the same patient that the pipeline analysed, and the folder with its neutral result."""

    study_instance_uid: str
    study_date: str
    package: PackageIdentity
    folder: Path
    kept: Mapping[str, Any] | None = None
    """Outcome and values of that result where its folder is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRequest:
    """What is to be analysed: `instances` in the order of the pipeline's selection.

    `folder` is the job's own: the neutral result and every result object go there. `analysed_at` is fixed per job, so
    that doing it again gives the same bytes. `prior` is the latest older study that the result is compared with,
    `companion` what the other kind of chest image of the patient came to. `caveats` are flags that the node adds to
    whatever the pipeline says. `population` is what the site has seen of the package before, where scores are ranked.
    """

    job_key: str
    pipeline: str
    package: PackageIdentity | None
    study_instance_uid: str
    instances: tuple[Instance, ...]
    flags: tuple[Reason, ...]
    folder: Path
    analysed_at: datetime
    priority: Priority
    prior: PriorAnalysis | None = None
    companion: Companion | None = None
    caveats: tuple[Reason, ...] = ()
    population: Population | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSummary:
    """The part of a result that decides what happens next; the whole result lies in the job's folder.

    `monitored` is what the watch over drift counts of the study.
    """

    outcome: Outcome
    headline: str
    refusals: tuple[Reason, ...] = ()
    flags: tuple[Reason, ...] = ()
    triage: Triage | None = None
    monitored: Monitored | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """A result object as the ledger keeps it.

    `profile` is the key of the profile that it was written for (domain.profile.profile_key). `problems` are the reasons
    for which it must not leave, without anything that could identify a patient; the UIDs are "" when it was not even
    written.
    """

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    path: Path
    slot: str = ""
    rank: int = 0
    profile: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorObject:
    """An object of an earlier result of the study; `series_instance_uid` is "" until its file was read."""

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    path: Path | None = None
    series_instance_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSet:
    """What the destinations with one profile are to be sent, and what they have of earlier results.

    With a `refusal` they are told that the study was not analysed, and why, whatever the result says.
    """

    profile: EncodingProfile
    kinds: tuple[str, ...]
    predecessors: tuple[PriorObject, ...] = ()
    refusal: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeRequest:
    """What the encoders need beside the neutral result in the job's folder."""

    analysis: AnalysisRequest
    revision: int
    sets: tuple[ObjectSet, ...]
    may_raise: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectRequest:
    """A note that rejects what earlier results put into a destination; its UID is given, so that it stays the same."""

    analysis: AnalysisRequest
    sop_instance_uid: str
    rejected: tuple[PriorObject, ...]


class Analyst(Protocol):
    """Decodes, infers and encodes in child processes. Every call may be made twice and then gives the same."""

    def analyse(self, request: AnalysisRequest) -> AnalysisSummary:
        """Run the pipeline and keep the neutral result in the job's folder.

        Raises
        ------
        WorkerCrashedError, WorkerTimeoutError
            The child process died on it.
        InputError, PackageError
            It cannot be analysed, and trying again does not help.
        """

    def runs(self, package: PackageIdentity) -> bool:
        """Say whether there are child processes with the package."""

    def shadow(self, request: AnalysisRequest, key: str) -> AnalysisSummary:
        """Run the pipeline with a shadow package, aside, and keep its neutral result in the request's folder.

        Raises
        ------
        WorkerCrashedError, WorkerTimeoutError, InputError, PackageError
            As `analyse`.
        """

    def refuse(self, request: AnalysisRequest, reasons: Sequence[Reason]) -> AnalysisSummary:
        """Keep a not-analysed result with these reasons in the job's folder, without running anything."""

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        """Write the result objects of these sets into the job's folder; those with problems must not leave."""

    def reject(self, request: RejectRequest) -> ResultObject:
        """Write the rejection note into the job's folder."""
