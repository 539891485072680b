# SPDX-License-Identifier: Apache-2.0
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.entry import DeliveryState
from service.domain.instance import Instance
from service.domain.result import Outcome, PackageIdentity, PackageStatus, Priority, Reason, Triage
from service.domain.study import Completeness
from service.pipelines.certainty import INDETERMINATE
from service.pipelines.familiarity import OUT_OF_DISTRIBUTION
from service.ports import AnalysisSummary
from service.settings import CloseSettings, Profile, Settings, SiteSettings, TriageSettings
from service.workflow.backoff import longest_wait, wait_seconds
from service.workflow.close import decide
from service.workflow.route import job_key
from service.workflow.slots import is_permanent, is_taken, next_state
from service.workflow.triage import raised_priority

CLOSE = CloseSettings(quiet_seconds=60, settle_seconds=5)
C = Completeness


@pytest.mark.parametrize(
    ("states", "late", "reason", "wait"),
    [
        ([C.COMPLETE], False, "complete", 0),
        ([C.COMPLETE, C.NOT_WANTED], False, "complete", 0),
        ([C.COMPLETE, C.SETTLING], False, "settled", 5),
        ([C.COMPLETE, C.INCOMPLETE], False, "quiet", 60),
        ([C.SETTLING], False, "settled", 5),
        ([C.NOT_WANTED], False, "quiet", 60),
        ([], False, "quiet", 60),
        ([C.COMPLETE], True, "settled", 5),
        ([C.INCOMPLETE], True, "quiet", 60),
    ],
)
def test_when_a_study_closes(states: list[Completeness], late: bool, reason: str, wait: float) -> None:
    decision = decide(states, last_seen_at=100.0, late=late, settings=CLOSE)
    assert (decision.reason, decision.due_at) == (reason, 100.0 + wait)


def package(status: PackageStatus) -> PackageIdentity:
    return PackageIdentity(name="p", version="1", sha256="ab", status=status)


def summary(*, above: bool = True, outcome: Outcome = Outcome.FINDINGS, flag: str = "") -> AnalysisSummary:
    flags = (Reason(code=flag, message=flag),) if flag else ()
    triage = Triage(score=0.9, operating_point="o", threshold=0.5, above_operating_point=above)
    refusals = (Reason(code="r", message="r"),) if outcome in {Outcome.NOT_ANALYSED, Outcome.PARTLY_ANALYSED} else ()
    return AnalysisSummary(outcome=outcome, headline="", flags=flags, refusals=refusals, triage=triage)


DEFAULT = Settings()
DEMO = Settings(site=SiteSettings(profile=Profile.DEMO))
ALLOWED = Settings(triage=TriageSettings(allowed_statuses=("research",)))


@pytest.mark.parametrize(
    ("settings", "status", "result", "priority"),
    [
        (DEFAULT, PackageStatus.APPROVED, summary(), Priority.URGENT),
        (DEFAULT, PackageStatus.SITE_VALIDATED, summary(), Priority.URGENT),
        (DEFAULT, PackageStatus.RESEARCH, summary(), Priority.ROUTINE),
        (ALLOWED, PackageStatus.RESEARCH, summary(), Priority.URGENT),
        (ALLOWED, PackageStatus.DEMONSTRATION, summary(), Priority.ROUTINE),
        (DEMO, PackageStatus.DEMONSTRATION, summary(), Priority.URGENT),
        (DEFAULT, PackageStatus.APPROVED, summary(above=False), Priority.ROUTINE),
        (DEFAULT, PackageStatus.APPROVED, summary(outcome=Outcome.NOT_ANALYSED), Priority.ROUTINE),
        (DEFAULT, PackageStatus.APPROVED, summary(outcome=Outcome.PARTLY_ANALYSED), Priority.URGENT),
        (DEFAULT, PackageStatus.APPROVED, summary(flag=OUT_OF_DISTRIBUTION), Priority.ROUTINE),
        (DEFAULT, PackageStatus.APPROVED, summary(flag=INDETERMINATE), Priority.ROUTINE),
        (DEFAULT, PackageStatus.APPROVED, summary(flag="thick_slices"), Priority.URGENT),
    ],
)
def test_who_may_raise_a_priority(
    settings: Settings, status: PackageStatus, result: AnalysisSummary, priority: Priority
) -> None:
    assert raised_priority(Priority.ROUTINE, result, package(status), settings=settings) is priority


def test_a_priority_is_never_lowered() -> None:
    summaries = [summary(above=above, outcome=outcome) for above in (True, False) for outcome in Outcome]
    packages = [None, *map(package, PackageStatus)]
    for result, identity, settings in itertools.product(summaries, packages, (DEFAULT, DEMO, ALLOWED)):
        assert raised_priority(Priority.URGENT, result, identity, settings=settings) is Priority.URGENT


@given(st.integers(0, 10_000), st.floats(0.1, 100), st.floats(100, 10_000))
def test_waits_grow_to_the_limit_and_stay_there(attempts: int, first: float, limit: float) -> None:
    bound = longest_wait(attempts, first_seconds=first, max_seconds=limit)
    following = longest_wait(attempts + 1, first_seconds=first, max_seconds=limit)
    assert first <= bound <= following <= limit
    assert wait_seconds(attempts, first_seconds=first, max_seconds=limit, draw=lambda low, high: (low, high)) == (
        0,
        bound,
    )


def test_the_first_waits_double() -> None:
    assert [longest_wait(n, first_seconds=5, max_seconds=300) for n in (1, 2, 3, 7, 8)] == [5, 10, 20, 300, 300]


@pytest.mark.parametrize(
    ("status", "taken", "permanent"),
    [
        (0x0000, True, False),
        (0xB000, True, False),
        (0xB007, True, False),
        (None, False, False),
        (0xA700, False, False),
        (0xA7FF, False, False),
        (0x0110, False, False),
        (0x0111, True, False),
        (0x0210, False, False),
        (0x0213, False, False),
        (0x0124, False, True),
        (0x0122, False, True),
        (0xA900, False, True),
        (0xC000, False, True),
        (0xCFFF, False, True),
    ],
)
def test_what_an_answer_means(status: int | None, taken: bool, permanent: bool) -> None:
    assert (is_taken(status), is_permanent(status)) == (taken, permanent)


@pytest.mark.parametrize(
    ("status", "refusals", "state"),
    [
        (0, 2, DeliveryState.DELIVERED),
        (0xA900, 0, DeliveryState.PENDING),
        (0xA900, 1, DeliveryState.PENDING),
        (0xA900, 2, DeliveryState.REFUSED),
        (0xA700, 99, DeliveryState.PENDING),
        (None, 99, DeliveryState.PENDING),
    ],
)
def test_only_permanent_refusals_end_the_attempts(status: int | None, refusals: int, state: DeliveryState) -> None:
    assert next_state(status, refusals=refusals) is state


def image(uid: str) -> Instance:
    return Instance(
        sop_instance_uid=uid,
        sop_class_uid="1",
        study_instance_uid="1",
        series_instance_uid="1",
        transfer_syntax_uid="1",
        path=Path(uid),
        sha256="",
        size_bytes=0,
    )


def test_the_identity_of_work_ignores_order_and_nothing_else() -> None:
    a, b = image("1.1"), image("1.2")
    same = job_key("1", "p", package=None, inputs=[a, b], refusals=())
    assert job_key("1", "p", package=None, inputs=[b, a], refusals=()) == same
    others = [
        job_key("2", "p", package=None, inputs=[a, b], refusals=()),
        job_key("1", "q", package=None, inputs=[a, b], refusals=()),
        job_key("1", "p", package=package(PackageStatus.APPROVED), inputs=[a, b], refusals=()),
        job_key("1", "p", package=None, inputs=[a], refusals=()),
        job_key("1", "p", package=None, inputs=[a, b], refusals=(Reason(code="r", message=""),)),
    ]
    assert len({same, *others}) == 6
