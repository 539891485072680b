# SPDX-License-Identifier: Apache-2.0
"""Everything that the pages are made from; the composition root puts it together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from service.domain.result import Outcome, Reason
from service.ports.drift import DriftReader
from service.ports.status_page import ModelState, Readiness, RecordViews, StatusLedger
from service.settings.results import Language


class Speech(Protocol):
    """How what the node says of a study is said in one language: the same words as in the results."""

    @property
    def outcomes(self) -> Mapping[Outcome, str]:
        """The outcome of an analysis in words."""

    @property
    def line(self) -> Callable[[str], str]:
        """Says a result line."""

    @property
    def reason(self) -> Callable[[Reason], str]:
        """Says why something was refused or flagged."""

    @property
    def pipeline(self) -> Callable[[str], str]:
        """Names a pipeline."""

    @property
    def demonstration_banner(self) -> str:
        """Says that a package is a demonstration."""

    @property
    def research_banner(self) -> str:
        """Says what results are not for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the pages show.

    `destinations` are the names in config.yaml, `urgent_rules` pairs of a rule that makes a study urgent and a pipeline
    of it. `study_key` names a study without identity. `patient_name` reads Patient's Name from a stored image, "" where
    it is not there. `record` writes into the audit trail who saw whose study. `now` is the time in seconds since the
    epoch.
    """

    ledger: StatusLedger
    models: Callable[[], Sequence[ModelState]]
    readiness: Callable[[], Readiness]
    speech: Mapping[Language, Speech]
    study_key: Callable[[str], str]
    patient_name: Callable[[Path], str]
    record: RecordViews
    now: Callable[[], float]
    version: str
    ae_title: str
    destinations: tuple[str, ...] = ()
    urgent_rules: frozenset[tuple[str, str]] = frozenset()
    drift: DriftReader | None = None
