# SPDX-License-Identifier: Apache-2.0
"""SIGTERM while objects arrive and studies are analysed (goal 20), and a second SIGTERM."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.dcmtk import dcmsend
from harness.modality import SUCCESS, Modality, RejectedError, slice_dataset
from harness.node import NodeProgram
from tests.chaos.journal import audit, stored_instances
from tests.chaos.kill_node import count_faults
from tests.chaos.studies import film_studies
from tests.chaos.verdict import Chaos, Verdict, stopwatch

SENDERS = 6
STOP_AT_MOST_SECONDS = 60.0
FORCED_AT_MOST_SECONDS = 3.0
OBJECT_SECONDS = 1.5
"""How long one object is under way: some are in the middle when the signal comes."""
PIECES = 30


@dataclass(kw_only=True)
class Sent:
    """One C-STORE: when its first byte left, whether its last did, and what came back (None: nothing)."""

    sop_instance_uid: str
    started_at: float
    answer: int | None = None


@dataclass(kw_only=True)
class SlowSender(threading.Thread):
    """A modality on a slow line that goes on until it is refused."""

    chaos: Chaos
    node: NodeProgram
    number: int
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        try:
            with Modality(self.node.port, seconds=60) as modality:
                while self._store(modality) == SUCCESS:
                    pass
        except (OSError, RejectedError):
            pass  # what was under way then is counted by its missing answer

    def _store(self, modality: Modality) -> int:
        uid = self.chaos.uid("drain", self.number, len(self.sent))
        dataset = slice_dataset(uid, study_instance_uid=self.chaos.uid("drain", self.number), size_bytes=200_000)
        request = modality.request(uid, dataset)
        self.sent.append(Sent(sop_instance_uid=uid, started_at=time.monotonic()))
        step = -(-len(request) // PIECES)
        for at in range(0, len(request), step):
            modality.socket.sendall(request[at : at + step])
            time.sleep(OBJECT_SECONDS / PIECES)
        self.sent[-1].answer = modality.status()
        return self.sent[-1].answer


def run(chaos: Chaos) -> Verdict:
    """Stop the node in the middle of everything; start it again; stop it by force."""
    studies = film_studies(chaos.folder, count=min(6, chaos.sizes.studies))
    with (
        stopwatch() as seconds,
        chaos.running_orthanc() as orthanc,
        chaos.running_node(pacs=orthanc, changes={"close": {"quiet_seconds": 3, "settle_seconds": 1}}) as node,
    ):
        for study in studies:
            dcmsend(node.called, study.files)
        sent, signalled_at, stop_seconds, status = _stop_under_load(chaos, node)
        kept = set(stored_instances(node))
        node.start()
        rows = node.wait_for_results(len(studies) + SENDERS, seconds=300)
        tags = [orthanc.tags(instance) for instance in orthanc.instances()]
        forced_seconds = _stop_by_force(chaos, node)
        lost, duplicated = count_faults(tags, rows, studies)
        found = audit(node)
    lost += sum(each.answer == SUCCESS and each.sop_instance_uid not in kept for each in sent)
    return Verdict(
        name="drain",
        database=chaos.database,
        lost=lost,
        duplicated=duplicated,
        seconds=seconds(),
        faults=(
            *aborted_faults(sent, signalled_at),
            *stop_faults(stop_seconds, forced_seconds, status),
            *(fault for fault in found.faults if "partial" not in fault),  # the forced stop may leave some
        ),
        found={
            "under way at the signal": sum(_under_way(each, signalled_at) for each in sent),
            "stop, s": round(stop_seconds, 1),
            "forced stop, s": round(forced_seconds, 2),
        },
    )


def aborted_faults(sent: Sequence[Sent], signalled_at: float) -> tuple[str, ...]:
    """Return a sentence when a C-STORE that was under way at the signal got no answer, or a failure."""
    under_way = [each for each in sent if _under_way(each, signalled_at)]
    answers = Counter(_named(each.answer) for each in under_way if each.answer != SUCCESS)
    if not under_way:
        return ("no C-STORE was under way at the signal: the scenario shows nothing",)
    if not answers:
        return ()
    return (f"{answers.total()} of {len(under_way)} C-STOREs under way at the signal came to nothing: {dict(answers)}",)


def _named(answer: int | None) -> str:
    return "no answer" if answer is None else f"0x{answer:04X}"


def stop_faults(stop_seconds: float, forced_seconds: float, status: int) -> tuple[str, ...]:
    """Return sentences when stopping took too long or ended in an error."""
    faults = []
    if stop_seconds > STOP_AT_MOST_SECONDS:
        faults.append(f"the node took {stop_seconds:.0f} s to drain")
    if status != 0:
        faults.append(f"the drained node ended with status {status}")
    if forced_seconds > FORCED_AT_MOST_SECONDS:
        faults.append(f"after a second SIGTERM the node ran on for {forced_seconds:.1f} s")
    return tuple(faults)


def _under_way(sent: Sent, signalled_at: float) -> bool:
    return sent.started_at < signalled_at < sent.started_at + OBJECT_SECONDS * 0.9


def _stop_under_load(chaos: Chaos, node: NodeProgram) -> tuple[list[Sent], float, float, int]:
    senders = [SlowSender(chaos=chaos, node=node, number=number) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
        time.sleep(0.15)  # each is at another point of its object
    time.sleep(4)
    signalled_at = time.monotonic()
    node.send_signal(signal.SIGTERM)
    try:
        status = node.wait_for_end(seconds=STOP_AT_MOST_SECONDS + 30)
    except TimeoutError:
        status = -1
        node.kill()
    stop_seconds = time.monotonic() - signalled_at
    for sender in senders:
        sender.join(30)
    return [each for sender in senders for each in sender.sent], signalled_at, stop_seconds, status


def _stop_by_force(chaos: Chaos, node: NodeProgram) -> float:
    """Return how long the node lives after a second SIGTERM, while a C-STORE hangs in the middle."""
    modality = Modality(node.port)
    uid = chaos.uid("forced")
    request = modality.request(uid, slice_dataset(uid, study_instance_uid=chaos.uid("forced"), size_bytes=200_000))
    modality.socket.sendall(request[: len(request) // 2])
    time.sleep(0.5)
    node.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    started = time.monotonic()
    node.send_signal(signal.SIGTERM)
    try:
        node.wait_for_end(seconds=60)
    except TimeoutError:
        node.kill()
    modality.close(release=False)
    return time.monotonic() - started
