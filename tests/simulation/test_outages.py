# SPDX-License-Identifier: Apache-2.0
"""Whatever an archive does, every result ends there, committed, once, urgent ones first, without a hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.domain.event import CircuitChanged, CommitmentSettled, RetryPlanned
from service.domain.result import Priority
from service.ports import CommitmentReport, EncodedObject, ObjectReference
from service.storage.statistics import SqlStatistics
from service.workflow import circuit
from simulation.engine import Killed
from simulation.world import SETTINGS, World

DAY = 86_400.0
SEEDS = (1, 2, 3)


def changed(**values: Any) -> dict[str, Any]:
    return {**SETTINGS, "destinations": [{**SETTINGS["destinations"][0], **values}]}


def states(world: World) -> set[tuple[str, str]]:
    return {(state, proof) for state, proof in world.rows("select distinct state, proof from delivery")}


def check_all_is_well(world: World, jobs: int, *, proofs: frozenset[str] = frozenset({"report"})) -> None:
    """Everything is at the archive and committed, and nothing went wrong on the way."""
    assert world.engine.crashes == []
    assert world.rows("select state, count(*) from job group by state") == [("finished", jobs)]
    assert {state for state, _ in states(world)} == {"committed"}
    assert {proof for _, proof in states(world)} <= proofs
    sent = {uid for (uid,) in world.rows("select sop_instance_uid from result_object")}
    assert len(sent) == 2 * jobs
    assert world.archive.objects.keys() == sent
    transactions = [uid for uid, _ in world.archive.asked]
    assert len(set(transactions)) == len(transactions), "a Transaction UID was used for two requests"


def uids_of(world: World, priority: Priority) -> set[str]:
    rows = world.rows("select sop_instance_uid, priority from result_object join job on job.id = job_id")
    return {uid for uid, its in rows if its == priority.value}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_without_the_archive(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed=seed)
    jobs = 40
    for number in range(jobs):
        priority = Priority.URGENT if number % 5 == 0 else Priority.ROUTINE
        world.later(world.random.uniform(0, 0.9 * DAY), lambda priority=priority: world.add_job(priority))
    world.archive.up = False
    world.later(DAY, world.archive.rise)
    world.run(seconds=DAY - 1)
    tried = len(world.archive.calls)
    assert world.archive.objects == {}
    assert tried <= circuit.FAILURES_TO_OPEN + DAY / 60, "a probe every 150 s on average, and no more"
    assert {what for _, what in world.archive.calls[circuit.FAILURES_TO_OPEN :]} == {"echo"}
    world.run_until_idle(hours=2)
    check_all_is_well(world, jobs)
    assert set(world.archive.stores.values()) == {1}, "sent once each"
    urgent = uids_of(world, Priority.URGENT)
    assert set(world.archive.order[: len(urgent)]) == urgent
    assert world.clock.monotonic() < DAY + 300 + 120, "within a probe's wait of the archive's return"
    assert world.engine.runs["deliver"] <= 2 * jobs + circuit.FAILURES_TO_OPEN, "the day cost no wake-ups"


def test_an_outage_costs_each_waiting_job_one_wake_up_and_releases_all_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.archive.up = False
    jobs = circuit.RELEASE_BATCH + 20
    for _ in range(jobs):
        world.add_job()
    urgent = [world.add_job(Priority.URGENT) for _ in range(2)]
    world.run(seconds=2 * 3600)
    assert len([what for _, what in world.archive.calls if what == "store"]) == circuit.FAILURES_TO_OPEN
    assert world.engine.runs["deliver"] <= jobs + 2 + circuit.FAILURES_TO_OPEN
    assert SqlStatistics(world.database).counts().circuits == {"pacs": 2}
    world.archive.up = True
    world.run_until_idle(hours=2)
    check_all_is_well(world, jobs + 2)
    first = [f"2.25.{2 * int(job.key) + number}" for job in urgent for number in range(2)]
    assert world.archive.order[:4] == first, "though they are not among the oldest that are released together"
    counts = SqlStatistics(world.database).counts()
    assert (counts.circuits, counts.deliveries_pending, counts.commitments_pending) == ({"pacs": 0}, {}, {})
    told = [event.state for event in world.observer.of(CircuitChanged)]
    assert told[:2] == ["open", "half_open"]
    assert told[-2:] == ["half_open", "closed"]


def test_an_urgent_job_overtakes_what_waits_already(tmp_path: Path) -> None:
    world = World(tmp_path)
    for _ in range(10):
        world.add_job()
    world.run(seconds=0.35)
    before = len(world.archive.order)
    urgent = world.add_job(Priority.URGENT)
    world.run_until_idle(hours=1)
    assert before < 16
    place = world.archive.order.index(f"2.25.{2 * int(urgent.key)}")
    assert place <= before + 2, "at most the job in progress goes before it"


def test_the_objects_of_a_job_go_in_order_over_one_association(tmp_path: Path) -> None:
    world = World(tmp_path)
    jobs = [world.add_job() for _ in range(3)]
    world.run_until_idle(hours=1)
    assert [what for _, what in world.archive.calls].count("store") == len(jobs)
    assert world.archive.order == [f"2.25.{2 * int(job.key) + number}" for job in jobs for number in range(2)]


def at_transaction(numbers: set[int], how: str, otherwise: str = "other") -> Callable[[int], str]:
    return lambda number: how if number in numbers else otherwise


REPORTS: dict[str, tuple[Callable[[int], str], set[str]]] = {
    "on another association": (lambda _: "other", {"report"}),
    "on the same association": (lambda _: "same", {"report"}),
    "before our request was answered": (lambda _: "early", {"report"}),
    "twice": (lambda _: "twice", {"report"}),
    "late, after we asked again": (lambda _: "late", {"report"}),
    "never, the first time": (at_transaction({1, 3}, "never"), {"report"}),
    "never": (lambda _: "never", {"query"}),
    "with failures, 0x0112": (at_transaction({1, 2}, "forget"), {"report"}),
    "with failures of the moment, 0x0213": (at_transaction({1, 2, 3}, "busy"), {"report"}),
    "never, and an object is gone": (at_transaction({1}, "late forget", "never"), {"query", "report"}),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("how", REPORTS)
def test_however_the_report_comes(tmp_path: Path, how: str, seed: int) -> None:
    world = World(tmp_path, seed=seed)
    world.archive.report_how, proofs = REPORTS[how]
    world.archive.report_seconds = lambda: world.random.uniform(0.0, 590.0)
    for _ in range(3):
        world.add_job()
    world.run_until_idle(hours=30)
    check_all_is_well(world, 3, proofs=frozenset(proofs))
    again = 2 if "gone" in how or "0x0112" in how else 1
    assert max(world.archive.stores.values()) <= again + 1, "only what was denied is sent again"
    assert sum(world.archive.stores.values()) - 6 <= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_an_archive_that_restarts_before_its_report_is_asked_again(tmp_path: Path, seed: int) -> None:
    """Orthanc, for one, keeps requests in memory."""
    world = World(tmp_path, seed=seed)
    world.archive.report_seconds = lambda: 30.0
    job = world.add_job()
    world.run(seconds=5)
    assert len(world.archive.asked) == 1
    world.archive.restart(down_seconds=world.random.uniform(1, 300))
    world.run_until_idle(hours=2)
    check_all_is_well(world, 1)
    assert len(world.archive.asked) == 2
    assert world.clock.monotonic() >= 600
    assert job.id == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_an_archive_that_restarts_within_a_transfer_gets_the_rest(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed=seed)
    for _ in range(4):
        world.add_job()
    victim = world.random.randrange(1, 9)
    seen: list[str] = []

    def fall(item: EncodedObject) -> None:
        seen.append(item.sop_instance_uid)
        if len(seen) == victim:
            world.archive.restart(down_seconds=world.random.uniform(1, 1000))

    world.archive.before_store = fall
    world.run_until_idle(hours=2)
    check_all_is_well(world, 4)
    assert set(world.archive.stores.values()) == {1}


@pytest.mark.parametrize("seed", SEEDS)
def test_an_archive_that_restarts_all_the_time_gets_everything(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed=seed)

    def perhaps_fall(_: EncodedObject) -> None:
        if world.clock.monotonic() < 3 * 3600 and world.random.random() < 0.3:
            world.archive.restart(down_seconds=world.random.uniform(1, 900))

    world.archive.before_store = perhaps_fall
    world.archive.report_seconds = lambda: world.random.uniform(1, 120)
    world.archive.report_how = lambda _: world.random.choice(["other", "twice", "early", "same", "never", "busy"])
    for _ in range(12):
        world.later(world.random.uniform(0, 2 * 3600), world.add_job)
    world.run_until_idle(hours=40)
    check_all_is_well(world, 12, proofs=frozenset({"report", "query"}))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kill_between_success_and_ledger_sends_the_same_objects_again(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed=seed)
    kills = iter([True, False, True])

    def die() -> None:
        if next(kills, False):
            raise Killed

    world.archive.after_send = die
    for _ in range(2):
        world.add_job()
    world.run(seconds=0.5)
    world.boot()
    world.run_until_idle(hours=2)
    check_all_is_well(world, 2)
    assert sorted(world.archive.stores.values()) == [1, 1, 2, 2] or sorted(world.archive.stores.values()) == [2] * 4


def test_a_node_that_restarts_within_an_outage_goes_on_where_it_was(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.archive.up = False
    for _ in range(5):
        world.add_job()
    world.run(seconds=3600)
    world.engine.lose_everything()
    world.boot()
    world.run(seconds=3600)
    assert len([what for _, what in world.archive.calls if what == "store"]) == circuit.FAILURES_TO_OPEN
    world.archive.up = True
    world.run_until_idle(hours=2)
    check_all_is_well(world, 5)


def test_a_job_that_breaks_every_association_holds_up_no_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    poison = world.add_job(Priority.URGENT)
    bad = {f"2.25.{2 * int(poison.key) + number}" for number in range(2)}
    up = [True]

    def breaks(item: EncodedObject) -> None:
        world.archive.up = up[0] and item.sop_instance_uid not in bad

    world.archive.before_store = breaks
    world.archive.after_send = world.archive.rise
    world.run(seconds=3600)
    assert SqlStatistics(world.database).counts().circuits == {"pacs": 0}, "one job is not a dead archive"
    up[0] = world.archive.up = False
    for _ in range(5):
        world.add_job()
    world.run(seconds=3600)
    up[0] = world.archive.up = True
    world.run(seconds=1800)
    assert len(world.archive.objects) == 10
    bad.clear()
    world.run_until_idle(hours=2)
    check_all_is_well(world, 6)


def test_an_archive_without_c_echo_is_found_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.archive.echoes = False
    world.archive.up = False
    world.add_job()
    world.later(3600, world.archive.rise)
    world.run_until_idle(hours=3)
    check_all_is_well(world, 1)


def test_an_archive_without_storage_commitment_is_queried(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.archive.commits = False
    world.add_job()
    world.run_until_idle(hours=1)
    assert states(world) == {("committed", "query")}
    assert world.observer.of(CommitmentSettled)[0].result == "unsupported"


def test_an_archive_that_can_show_nothing_is_asked_more_and_more_seldom(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.archive.commits = world.archive.queries = False
    world.add_job()
    world.run(seconds=7 * DAY)
    assert states(world) == {("stored", "")}
    assert SqlStatistics(world.database).counts().commitments_pending == {"pacs": 2}
    assert set(world.archive.stores.values()) == {1}
    assert len([what for _, what in world.archive.calls if what == "commit"]) < 60
    settings = changed(commitment="none")
    world.parts = type(world.parts)(
        **{
            name: getattr(world.parts, name)
            for name in world.parts.__dataclass_fields__
            if name not in {"settings", "_started_at"}
        },
        settings=type(world.parts.settings).model_validate(settings),
    )
    world.boot()
    assert states(world) == {("delivered", "")}
    assert not world.unfinished()


def test_an_archive_that_never_reports_nor_answers_queries_gets_everything_again_seldom(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.archive.queries = False
    world.archive.report_how = lambda _: "never"
    world.add_job()
    world.run(seconds=7 * DAY)
    assert max(world.archive.stores.values()) < 15
    world.archive.report_how = lambda _: "same"
    world.run_until_idle(hours=30)
    check_all_is_well(world, 1)


def test_commitment_none_is_done_when_stored(tmp_path: Path) -> None:
    world = World(tmp_path, settings=changed(commitment="none"))
    world.add_job()
    world.run_until_idle(hours=1)
    assert states(world) == {("delivered", "")}
    assert world.archive.asked == []
    assert world.rows("select state from job") == [("finished",)]


@pytest.mark.parametrize(
    ("status", "held", "most"),
    [(0xA700, False, 200), (0x0110, False, 200), (0x0122, True, 3), (0xA900, True, 3), (0xC001, True, 3)],
)
def test_what_a_refusal_leads_to(tmp_path: Path, status: int, *, held: bool, most: int) -> None:
    world = World(tmp_path)
    world.archive.status = lambda _: status
    world.add_job()
    world.run(seconds=4 * 3600)
    attempts = {attempts for (attempts,) in world.rows("select attempts from delivery")}
    assert {state for state, _ in states(world)} == ({"refused"} if held else {"pending"})
    assert max(attempts) <= most
    assert (max(attempts) == most) is held
    world.archive.status = lambda _: 0
    if not held:
        world.run_until_idle(hours=1)
        check_all_is_well(world, 1)


def test_what_a_commitment_denied_for_good_leads_to(tmp_path: Path) -> None:
    world = World(tmp_path)
    reasons = iter([0x0122] * 10)
    original = world.archive._report

    def deny(transaction_uid: str, references: Any, *, failing: bool) -> CommitmentReport:
        report = original(transaction_uid, references, failing=True)
        reason = next(reasons)
        failed = tuple(type(item)(reference=item.reference, reason=reason) for item in report.failed)
        return CommitmentReport(transaction_uid=transaction_uid, failed=failed) if not failing else report

    world.archive._report = deny  # type: ignore[method-assign]
    world.add_job()
    world.run_until_idle(hours=3)
    assert {state for state, _ in states(world)} == {"refused"}
    assert len(world.archive.asked) == 3


def test_the_other_destinations_go_on(tmp_path: Path) -> None:
    second = {**SETTINGS["destinations"][0], "name": "second"}
    world = World(tmp_path, settings={**SETTINGS, "destinations": [SETTINGS["destinations"][0], second]})
    world.archive.up = False
    for _ in range(5):
        world.add_job()
    world.run(seconds=400)
    assert len(world.others["second"].objects) == 10
    assert world.rows("select distinct destination, state from delivery order by 1") == [
        ("pacs", "pending"),
        ("second", "committed"),
    ]
    assert SqlStatistics(world.database).counts().circuits == {"pacs": 2, "second": 0}


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_no_timer_misfires_when_the_clock_steps(tmp_path: Path, step: float) -> None:
    world = World(tmp_path, reconcile_seconds=60.0)
    world.archive.report_how = at_transaction({1}, "never")
    world.archive.report_seconds = lambda: 1.0
    world.add_job()
    world.run(seconds=100)
    world.clock.step(step)
    world.run(seconds=490)
    assert len(world.archive.asked) == 1, "before its time"
    world.run(seconds=130)
    assert len(world.archive.asked) == 2, "long after its time"
    world.run_until_idle(hours=1)
    check_all_is_well(world, 1)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_an_outage_ends_in_time_when_the_clock_steps(tmp_path: Path, step: float) -> None:
    world = World(tmp_path, reconcile_seconds=60.0)
    world.archive.up = False
    world.add_job()
    world.run(seconds=3600)
    world.clock.step(step)
    tried = len(world.archive.calls)
    world.archive.up = True
    world.run_until_idle(hours=0.2)
    check_all_is_well(world, 1)
    assert len(world.archive.calls) - tried < 6


@pytest.mark.parametrize("step", [3600.0, -3600.0])
@pytest.mark.parametrize("lost", [False, True])
def test_what_comes_after_a_step_is_not_late(tmp_path: Path, step: float, *, lost: bool) -> None:
    world = World(tmp_path, reconcile_seconds=60.0)
    world.run(seconds=10)
    world.clock.step(step)
    world.add_job()
    if lost:
        world.engine.lose_everything()
    world.run(seconds=100)
    assert {state for state, _ in states(world)} == {"committed"}


def test_a_report_that_nobody_asked_for_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.archive.report_how = lambda _: "never"
    world.add_job()
    world.run(seconds=60)
    transaction_uid, uids = world.archive.asked[0]
    committed = tuple(ObjectReference(sop_class_uid="1", sop_instance_uid=uid) for uid in uids)
    report = CommitmentReport(transaction_uid=transaction_uid, committed=committed)
    assert not world.archive.listener("pacs", CommitmentReport(transaction_uid="1.2.3", committed=committed))
    assert not world.archive.listener("somebody", report)
    assert states(world) == {("stored", "")}
    assert [event.result for event in world.observer.of(CommitmentSettled)] == ["unknown", "stranger"]
    assert world.archive.listener("pacs", report)
    assert world.archive.listener("pacs", report)
    world.run_until_idle(hours=1)
    assert states(world) == {("committed", "report")}


def test_what_is_done_again_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.archive.up = False
    world.add_job()
    world.run(seconds=600)
    assert {event.stage for event in world.observer.of(RetryPlanned)} == {"deliver", "circuit"}
