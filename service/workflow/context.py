# SPDX-License-Identifier: Apache-2.0
"""What every stage of the flow works with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import SystemRandom

from service.ports import Clock, CommitmentPeer, Destination, Notifier, Observer, Pipeline
from service.ports.analyst import Analyst, InstalledPackage
from service.ports.ledger import Ledger
from service.ports.priors import PriorSource
from service.ports.store import InstanceStore
from service.settings import Settings
from service.workflow.audit import AuditTrail


def no_shadows(pipeline: str) -> Sequence[tuple[str, InstalledPackage]]:  # noqa: ARG001 - the form of FlowParts.shadows
    """Return the shadow packages of a site that has none."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowParts:
    """Everything behind the seams that the flow needs.

    `packages` holds the model package of each pipeline for studies that begin now; a pipeline whose package failed its
    checks is absent, and its studies end as not analysed. `shadows` returns the shadow packages of a pipeline, by key.
    `study_key` names a study in logs (domain.study.study_key with the site's key).
    `archives` are the destinations that are asked for storage commitment, `modalities` the peers that ask us for it.
    `prior_source` is the archive that older studies are fetched from; None where the site wants none.
    `draw` returns a number between two others: the jitter of every wait.
    """

    settings: Settings
    clock: Clock
    observer: Observer
    ledger: Ledger
    store: InstanceStore
    analyst: Analyst
    pipelines: Mapping[str, Pipeline]
    packages: Mapping[str, InstalledPackage]
    destinations: Mapping[str, Destination]
    notifiers: Mapping[str, Notifier]
    study_key: Callable[[str], str]
    audit: AuditTrail = field(default_factory=AuditTrail)
    archives: Mapping[str, CommitmentPeer] = field(default_factory=dict)
    modalities: Mapping[str, CommitmentPeer] = field(default_factory=dict)
    prior_source: PriorSource | None = None
    shadows: Callable[[str], Sequence[tuple[str, InstalledPackage]]] = no_shadows
    draw: Callable[[float, float], float] = SystemRandom().uniform
    _started_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Tie the clock that never steps to the wall clock, once."""
        object.__setattr__(self, "_started_at", self.clock.now().timestamp() - self.clock.monotonic())

    def now(self) -> float:
        """Return the time as the ledger keeps it, in seconds since the epoch."""
        return self.clock.now().timestamp()

    def steady(self) -> float:
        """Return the time for deadlines: `now` at the start of the process, and without its steps since."""
        return self._started_at + self.clock.monotonic()
