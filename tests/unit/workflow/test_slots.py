# SPDX-License-Identifier: Apache-2.0
"""Nothing optional fails a study, and no destination is left without a word."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.entry import AT_THE_DESTINATION, DeliveryRecord, DeliveryState
from service.ports import EncodedObject, ResultKind
from service.transport.forms import choose_forms
from service.workflow.slots import PERMANENT_TRIES, first_forms, in_order, judge

PENDING, DELIVERED, DECLINED = DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DECLINED
REFUSED, UNNEEDED = DeliveryState.REFUSED, DeliveryState.UNNEEDED
NOT_SUPPORTED, REFUSAL, BUSY = 0x0122, 0xA900, 0xA700


def row(number: int, kind: str, *, slot: str = "", rank: int = 0, **changes: object) -> DeliveryRecord:
    record = DeliveryRecord(
        id=number,
        job_id=1,
        destination="pacs",
        kind=kind,
        sop_class_uid=f"1.{number}",
        sop_instance_uid=f"2.{number}",
        path=Path("x"),
        state=PENDING,
        attempts=0,
        permanent_refusals=0,
        created_at=0.0,
        next_attempt_at=0.0,
        parked=False,
        attempt=0,
        task_id="",
        slot=slot,
        rank=rank,
    )
    return replace(record, **changes)


FORMS = (row(1, "sr", slot="report"), row(2, "sr", slot="report", rank=1), row(3, "sr", slot="report", rank=2))
PICTURE, OVERLAY = row(4, "heatmap"), row(5, "segmentation")


def states(rows: tuple[DeliveryRecord, ...], answers: dict[int, int | None]) -> dict[int, DeliveryState]:
    """Return the states after these answers, by row."""
    statuses = {f"2.{number}": status for number, status in answers.items()}
    pending = {entry.id for entry in rows if entry.state is PENDING}
    verdict = judge(rows, pending, statuses)
    before = {entry.id: entry.state for entry in rows}
    return {**before, **verdict.offered, **dict.fromkeys(verdict.unneeded, UNNEEDED)}


def test_one_form_is_enough() -> None:
    assert states(FORMS, {1: 0}) == {1: DELIVERED, 2: UNNEEDED, 3: UNNEEDED}
    assert states(FORMS, {1: NOT_SUPPORTED, 2: 0}) == {1: UNNEEDED, 2: DELIVERED, 3: UNNEEDED}


def test_a_form_that_is_not_answered_is_offered_again_and_the_others_wait() -> None:
    assert set(states(FORMS, {1: None}).values()) == {PENDING}
    assert set(states(FORMS, {1: BUSY}).values()) == {PENDING}


def test_a_form_of_a_class_that_is_not_taken_gives_way_to_the_next_at_once() -> None:
    assert states(FORMS, {1: NOT_SUPPORTED}) == {1: DECLINED, 2: PENDING, 3: PENDING}


def test_a_form_that_is_refused_for_good_gives_way_to_the_next() -> None:
    rows = (replace(FORMS[0], permanent_refusals=PERMANENT_TRIES - 1), *FORMS[1:])
    after = states(rows, {1: REFUSAL})
    assert after == {1: REFUSED, 2: PENDING, 3: PENDING}
    rows = (replace(rows[0], state=REFUSED), *rows[1:])
    assert states(rows, {2: 0}) == {1: UNNEEDED, 2: DELIVERED, 3: UNNEEDED}


def test_an_optional_object_that_is_not_taken_is_declined_where_the_result_is_known() -> None:
    assert states((PICTURE, OVERLAY), {4: 0, 5: NOT_SUPPORTED})[5] is DECLINED
    known = (replace(PICTURE, state=DeliveryState.COMMITTED), OVERLAY)
    assert states(known, {5: NOT_SUPPORTED})[5] is DECLINED


def test_an_overlay_alone_is_no_word() -> None:
    """A destination that takes the segmentation and refuses report and picture must be loud."""
    rows = tuple(replace(entry, permanent_refusals=PERMANENT_TRIES - 1) for entry in (*FORMS, PICTURE))
    answers = {1: NOT_SUPPORTED, 2: NOT_SUPPORTED, 3: NOT_SUPPORTED, 4: NOT_SUPPORTED, 5: 0}
    after = states((*rows, OVERLAY), answers)
    assert [after[number] for number in (1, 2, 3, 4)] == [REFUSED] * 4
    assert after[5] is DELIVERED


def test_a_destination_that_takes_nothing_is_tried_again_and_then_loud() -> None:
    answers = dict.fromkeys((1, 2, 3, 4, 5), NOT_SUPPORTED)
    assert set(states((*FORMS, PICTURE, OVERLAY), answers).values()) == {PENDING}
    rows = tuple(replace(entry, permanent_refusals=PERMANENT_TRIES - 1) for entry in (*FORMS, PICTURE, OVERLAY))
    assert set(states(rows, answers).values()) == {REFUSED}


def test_an_overlay_is_not_refused_for_good_while_the_words_are_on_their_way() -> None:
    rows = (PICTURE, replace(OVERLAY, permanent_refusals=PERMANENT_TRIES))
    assert states(rows, {4: BUSY, 5: NOT_SUPPORTED})[5] is PENDING


def test_where_no_words_are_meant_anything_is_enough() -> None:
    other = row(6, "presentation_state")
    assert states((OVERLAY, other), {5: 0, 6: NOT_SUPPORTED}) == {5: DELIVERED, 6: DECLINED}


def test_words_go_first_and_forms_in_their_order() -> None:
    rows = (OVERLAY, FORMS[2], PICTURE, FORMS[0], FORMS[1])
    assert [entry.id for entry in in_order(rows)] == [4, 1, 2, 3, 5]


def test_of_each_slot_one_form_is_about_to_be_sent() -> None:
    assert [entry.id for entry in first_forms((OVERLAY, *FORMS[::-1], PICTURE))] == [5, 1, 4]
    assert [entry.id for entry in first_forms(FORMS[1:])] == [2]


ANSWERS = st.sampled_from([0, NOT_SUPPORTED, REFUSAL, BUSY, None])


def sent(rows: tuple[DeliveryRecord, ...], accepted: dict[str, bool]) -> tuple[list[str], list[str]]:
    """Return the UIDs that are sent and declined, as the C-STORE client chooses them."""
    objects = [
        EncodedObject(
            kind=ResultKind.SR,
            sop_class_uid=entry.sop_class_uid,
            sop_instance_uid=entry.sop_instance_uid,
            path=entry.path,
            slot=entry.slot,
            rank=entry.rank,
        )
        for entry in in_order(rows)
    ]
    chosen, declined = choose_forms(objects, lambda item: accepted[item.sop_class_uid])
    return [item.sop_instance_uid for item in chosen], [item.sop_instance_uid for item in declined]


@given(st.lists(st.booleans(), min_size=5, max_size=5), st.lists(ANSWERS, min_size=5, max_size=5))
def test_whatever_a_pacs_answers_it_has_one_form_at_most_and_ends_told_or_loud(
    accepts: list[bool], answers: list[int | None]
) -> None:
    """Twenty attempts with the same answers: nothing hangs but what is busy or silent."""
    rows = (*FORMS, PICTURE, OVERLAY)
    accepted = {entry.sop_class_uid: accepts[entry.id - 1] for entry in rows}
    status = {entry.sop_instance_uid: answers[entry.id - 1] for entry in rows}
    for _ in range(20):
        pending = tuple(entry for entry in rows if entry.state is PENDING)
        chosen, declined = sent(pending, accepted)
        statuses = {**dict.fromkeys(declined, NOT_SUPPORTED), **{uid: status[uid] for uid in chosen}}
        verdict = judge(rows, {entry.id for entry in pending}, statuses)
        rows = tuple(
            replace(
                entry,
                state=UNNEEDED if entry.id in verdict.unneeded else verdict.offered.get(entry.id, entry.state),
                permanent_refusals=entry.permanent_refusals
                + (statuses.get(entry.sop_instance_uid) in {NOT_SUPPORTED, REFUSAL}),
            )
            for entry in rows
        )
    there = [entry for entry in rows if entry.state in AT_THE_DESTINATION]
    assert len([entry for entry in there if entry.slot]) <= 1
    told = any(entry.kind in {"sr", "heatmap"} for entry in there)
    loud = any(entry.state is REFUSED and entry.kind in {"sr", "heatmap"} for entry in rows)
    waits = any(entry.state is PENDING and answers[entry.id - 1] in {BUSY, None} for entry in rows)
    assert told or loud or waits
    assert all(answers[entry.id - 1] in {BUSY, None} or waits for entry in rows if entry.state is PENDING)


@pytest.mark.parametrize("accepted", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2), ()])
def test_the_first_accepted_form_is_sent_and_only_better_ones_are_declined(accepted: tuple[int, ...]) -> None:
    chosen, declined = sent(FORMS, {entry.sop_class_uid: entry.rank in accepted for entry in FORMS})
    assert chosen == ([f"2.{accepted[0] + 1}"] if accepted else [])
    assert declined == [f"2.{rank + 1}" for rank in range(accepted[0] if accepted else 3)]
