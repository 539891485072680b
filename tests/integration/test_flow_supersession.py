# SPDX-License-Identifier: Apache-2.0
"""Older results are rejected where that is wanted: after the new one is stored, and never more than what is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fakes import FakeAnalyst, FolderDestination, ct_dataset, incoming
from node import DESTINATION, SETTINGS, Node, running
from service.domain.event import ResultsSuperseded
from service.ports import EncodedObject, EncodeRequest, RejectRequest, ResultObject, StoreOutcome
from service.settings.results import Supersession

REJECT = {"supersede": Supersession.REJECT}
REJECTING = SETTINGS.model_copy(update={"destinations": (DESTINATION.model_copy(update=REJECT),)})


def send(node: Node, *numbers: int) -> None:
    for number in numbers:
        assert node.receive(incoming(ct_dataset(1, number))) is StoreOutcome.STORED


def states(node: Node) -> list[tuple[int, str, str]]:
    return node.rows(
        "select delivery.job_id, kind, state from delivery, result_object where object_id = result_object.id "
        "order by delivery.id"
    )


def test_the_note_lists_what_is_there_and_the_old_results_are_retired(tmp_path: Path, database_url: str | None) -> None:
    with running(tmp_path, settings=REJECTING, database_url=database_url) as node:
        send(node, 1, 2)
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        (first,) = node.destination.stored()
        send(node, 3)
        node.wait(lambda: states(node)[-1] == (2, "rejection_note", "delivered"))
        node.wait_idle()
        assert states(node) == [(1, "sr", "retired"), (2, "sr", "delivered"), (2, "rejection_note", "delivered")]
        (request,) = node.analyst.rejected
        assert [item.sop_instance_uid for item in request.rejected] == [first]
        (event,) = node.observer.of(ResultsSuperseded)
        assert (event.destination, event.count, bool(event.study_key)) == ("pacs", 1, True)
        assert list(node.destination.stored().values()) == [1, 1, 1], "each once"


@dataclass
class Stubborn(FolderDestination):
    """Takes nothing of the first result until it is told to."""

    refused: set[str] = field(default_factory=set)
    order: list[str] = field(default_factory=list)

    def send(self, objects: Sequence[EncodedObject]) -> Mapping[str, int | None]:
        return {item.sop_instance_uid: self._answer(item) for item in objects}

    def _answer(self, item: EncodedObject) -> int:
        if item.sop_instance_uid in self.refused:
            return 0xA700
        self.order.append(item.kind)
        return self._take(item)


def test_the_note_waits_for_what_is_still_coming(tmp_path: Path) -> None:
    """An old result that arrives after the note would not be rejected by it."""
    archive = tmp_path / "archive"
    archive.mkdir()
    pacs = Stubborn(name="pacs", folder=archive)
    with running(tmp_path, settings=REJECTING, destinations={"pacs": pacs}) as node:
        node.analyst.before = lambda request: pacs.refused.add(f"2.25.{int(request.job_key.replace('-', ''), 16)}")
        send(node, 1, 2)
        node.wait(lambda: states(node) == [(1, "sr", "pending")])
        node.analyst.before = lambda _: None
        send(node, 3)
        node.wait(lambda: (2, "rejection_note", "pending") in states(node))
        assert not node.analyst.rejected
        pacs.refused.clear()
        node.wait(lambda: states(node)[-1] == (2, "rejection_note", "delivered"))
        node.wait_idle()
        assert pacs.order[-1] == "rejection_note"
        assert states(node)[0] == (1, "sr", "retired")


class HoldsNotes(FakeAnalyst):
    """Its gate holds every note back."""

    def reject(self, request: RejectRequest) -> ResultObject:
        return replace(super().reject(request), problems=("the title is not right",))


def test_a_note_that_fails_the_checks_is_held_and_shown(tmp_path: Path) -> None:
    with running(tmp_path, settings=REJECTING, analyst=HoldsNotes()) as node:
        send(node, 1, 2)
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        send(node, 3)
        node.wait(lambda: node.rows("select state from job") == [("finished",)] * 2)
        assert states(node)[-1] == (2, "rejection_note", "held")
        assert node.rows("select kind, destinations, problems from held_object") == [
            ("rejection_note", '["pacs"]', '["the title is not right"]')
        ]
        assert states(node)[0] == (1, "sr", "delivered"), "nothing was rejected"


def test_a_destination_without_older_results_gets_no_note(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        send(node, 1, 2)
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
    new = DESTINATION.model_copy(update={"name": "new", **REJECT})
    settings = SETTINGS.model_copy(update={"destinations": (DESTINATION, new)})
    folder = tmp_path / "second"
    folder.mkdir()
    archives = {
        "pacs": FolderDestination(name="pacs", folder=tmp_path / "archive"),
        "new": FolderDestination(name="new", folder=folder),
    }
    with running(tmp_path, settings=settings, destinations=archives) as node:
        send(node, 3)
        node.wait(lambda: node.rows("select state from job") == [("finished",)] * 2)
        assert "rejection_note" not in {kind for _, kind, _ in states(node)}
        assert len(archives["new"].stored()) == 1


class HoldsPictures(FakeAnalyst):
    """Its gate holds every picture back; the report goes."""

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        (report,) = super().encode(request)
        picture = replace(report, kind="heatmap", sop_instance_uid="", problems=("PixelData is missing",))
        return report, picture


def test_what_is_held_is_listed_and_the_rest_goes_out(tmp_path: Path) -> None:
    with running(tmp_path, analyst=HoldsPictures()) as node:
        send(node, 1, 2)
        node.wait(lambda: node.rows("select state, outcome from job") == [("finished", "no_findings")])
        assert len(node.destination.stored()) == 1
        with node.ledger.reading() as view:
            (held,) = view.jobs.held(limit=9)
        assert (held.kind, held.destinations, held.problems) == ("heatmap", ("pacs",), ("PixelData is missing",))
        node.analyst.__class__ = FakeAnalyst
        send(node, 3)
        node.wait(lambda: node.rows("select state from job") == [("finished",)] * 2)
        assert node.rows("select * from held_object") == [], "a later result replaced it"
