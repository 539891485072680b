# SPDX-License-Identifier: Apache-2.0
"""Tables of what the node proposes as user, and what follows from the answers that it gets."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from service.domain.errors import DestinationUnreachableError
from service.ports import CommitmentFailure, CommitmentReport, EncodedObject, ObjectReference
from service.settings import DestinationSettings
from service.transport.opening import Opener
from service.transport.retrieve_scu import RetrieveScu
from service.transport.store_scu import FINALLY_REFUSED, StoreScu
from service.workflow.commit import ASK_AGAIN, ASKS, PERMANENT_REASONS
from service.workflow.promise import NO_SUCH_OBJECT
from service.workflow.slots import (
    DUPLICATE_SOP_INSTANCE,
    PERMANENT_TRIES,
    SOP_CLASS_NOT_SUPPORTED,
    is_permanent,
    is_taken,
)
from tests.conformance.association import name
from tests.conformance.generated import hexadecimal, joined, table


def commitment_failures_taken() -> str:
    """Return what follows from the failure reasons that an archive reports."""
    rows = [
        (
            joined(map(hexadecimal, sorted(ASK_AGAIN))) + ", or an instance that the report leaves out",
            "asked for again, after a pause",
        ),
        (
            joined(map(hexadecimal, sorted(PERMANENT_REASONS))),
            f"sent again and asked for again, {PERMANENT_TRIES} times, then held",
        ),
        ("any other", "sent again, and asked for again"),
        (
            f"no report, {ASKS} requests long",
            "looked for by C-FIND: what is there counts as committed, what is not is sent again",
        ),
        ("N-ACTION answered " + joined(map(hexadecimal, sorted(FINALLY_REFUSED))), "looked for by C-FIND at once"),
    ]
    return table(("Answer of the archive", "What follows for the instance"), rows)


class _Proposing(Opener):
    """Notes what it would propose, and proposes it to nobody."""

    proposed: tuple[tuple[str, str], ...] = ()
    roles: tuple[str, ...] = ()

    @contextmanager
    def association(self, contexts: Sequence[tuple[str, str]], *, scp_roles: Iterable[str] = ()) -> Iterator[NoReturn]:
        self.proposed, self.roles = tuple(contexts), tuple(scp_roles)
        raise DestinationUnreachableError("this one only proposes")
        yield


Scu = TypeVar("Scu", StoreScu, RetrieveScu)


def _proposed(kind: type[Scu], act: Callable[[Scu], Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    settings = DestinationSettings(name="pacs", ae_title="PACS", host="localhost", port=104)
    opener = _Proposing(settings, ae_title="DOKUEI", observer=lambda _event: None)
    scu = kind(settings, ae_title="DOKUEI", opener=opener)
    try:
        act(scu)
    except DestinationUnreachableError:
        return opener.proposed, opener.roles
    raise AssertionError("nothing was proposed")


def proposed_presentation_contexts(objects: Sequence[EncodedObject]) -> str:
    """Return the presentation contexts that are proposed, the objects being one of each SOP class."""
    reference = ObjectReference(sop_class_uid=objects[0].sop_class_uid, sop_instance_uid="2.25.1")
    failure = CommitmentFailure(reference=reference, reason=NO_SUCH_OBJECT)
    report = CommitmentReport(transaction_uid="2.25.2", committed=(), failed=(failure,))
    acts: list[tuple[str, Callable[[StoreScu], Any]]] = [
        ("results are sent", lambda scu: scu.send(objects)),
        ("a destination is looked for", lambda scu: scu.echo()),
        ("storage commitment is asked for", lambda scu: scu.request_commitment("2.25.2", [reference])),
        ("a storage commitment report did not come", lambda scu: scu.find_stored("2.25.3", [reference])),
        ("a peer is told what the node keeps", lambda scu: scu.report_commitment(report)),
    ]
    asks: list[tuple[str, Callable[[RetrieveScu], Any]]] = [
        ("older studies are looked for", lambda scu: scu.series("2.25.3")),
        ("an older study is asked for", lambda scu: scu.move("2.25.3", ["2.25.4"], seconds=1)),
    ]
    return table(
        ("When", "Abstract syntax", "UID", "Transfer syntaxes, one context each", "Role"),
        [
            *(row for when, act in acts for row in _rows(when, *_proposed(StoreScu, act))),
            *(row for when, ask in asks for row in _rows(when, *_proposed(RetrieveScu, ask))),
        ],
    )


def _rows(when: str, contexts: Sequence[tuple[str, str]], roles: Sequence[str]) -> Iterator[Sequence[str]]:
    for uid in dict.fromkeys(uid for uid, _ in contexts):
        offered = joined(name(syntax) for own, syntax in contexts if own == uid)
        yield when, name(uid), uid, offered, "SCP, by role selection" if uid in roles else "SCU"


def c_store_answers() -> str:
    """Return what follows from every status that a destination may give."""
    groups: dict[str, list[int]] = {}
    for status in range(0x10000):
        groups.setdefault(_treated(status), []).append(status)
    rows = [(_ranges(members), text) for text, members in groups.items() if text != LATER]
    return table(
        ("Status of the C-STORE", "What follows"), [*rows, ("any other, and none because the association broke", LATER)]
    )


LATER = "sent again with growing pauses, without a maximum age"


def _treated(status: int) -> str:
    if status == DUPLICATE_SOP_INSTANCE:
        return "stored: result UIDs are derived, so that what is there is the same object"
    if status == SOP_CLASS_NOT_SUPPORTED:
        return (
            f"the next form of the same is offered; where there is none, {PERMANENT_TRIES} times, then declined or held"
        )
    if is_taken(status):
        return "stored"
    return f"offered {PERMANENT_TRIES} times, then held and shown by `dokuei status`" if is_permanent(status) else LATER


def _ranges(members: Sequence[int]) -> str:
    """Return numbers as ranges."""
    starts = [status for status in members if status - 1 not in set(members)]
    ends = [status for status in members if status + 1 not in set(members)]
    return joined(
        hexadecimal(start) if start == end else f"{hexadecimal(start)} to {hexadecimal(end)}"
        for start, end in zip(starts, ends, strict=True)
    )
