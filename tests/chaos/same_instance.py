# SPDX-License-Identifier: Apache-2.0
"""The same instance again and again from many senders at once, and other bytes under its UID (goal 15)."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from harness.modality import SUCCESS, Modality, slice_dataset
from harness.node import NodeProgram
from harness.processes import wait_until
from tests.chaos.journal import audit, stored_instances
from tests.chaos.verdict import Chaos, Verdict, in_parallel, stopwatch


def run(chaos: Chaos) -> Verdict:
    """Send one instance `copies` times from `senders` at once; then other bytes; then look at the results."""
    uid, study = chaos.uid("same"), chaos.uid("same study")
    first = slice_dataset(uid, study_instance_uid=study)
    other = slice_dataset(uid, study_instance_uid=study, seed=1)
    sections = {"node": {"max_associations": 2 * chaos.sizes.senders}, "close": {"quiet_seconds": 2}}
    with stopwatch() as seconds, chaos.running_orthanc() as orthanc:
        node = chaos.node(pacs=orthanc)
        node.change(sections)
        node.start()
        try:
            answers = _send(node, uid, first, copies=chaos.sizes.copies, senders=chaos.sizes.senders)
            node.wait_for_results(1, seconds=120)
            other_answer = _send(node, uid, other, copies=1, senders=1)[0]
            wait_until(lambda: _aside(node, other), seconds=10, what="the other bytes were not kept aside")
        except TimeoutError:
            other_answer = -1
        finally:
            node.stop()
        reports = sum(orthanc.tags(instance)["Modality"] == "SR" for instance in orthanc.instances())
        kept, files = stored_instances(node), len(list(node.folder.glob("data/instances/*/*.dcm")))
        return Verdict(
            name="the same instance from many senders",
            database=chaos.database,
            lost=int(kept.get(uid) != hashlib.sha256(first).hexdigest()),
            duplicated=max(0, files - 1) + max(0, reports - 1),
            seconds=seconds(),
            faults=(
                *audit(node).faults,
                *answer_faults(answers, chaos.sizes.copies),
                *_conflict_faults(aside=_aside(node, other), reports=reports),
            ),
            found={"answers": _named(answers), "answer to other bytes": f"0x{other_answer & 0xFFFF:04X}"},
        )


def answer_faults(answers: Sequence[int], copies: int) -> tuple[str, ...]:
    """Return a sentence when not every copy was answered with success."""
    good = sum(answer == SUCCESS for answer in answers)
    return () if good == copies else (f"{good} of {copies} copies were answered with success: {_named(answers)}",)


def _conflict_faults(*, aside: bool, reports: int) -> tuple[str, ...]:
    faults = []
    if not aside:
        faults.append("the other bytes under the known UID are nowhere in the data folder")
    if reports != 1:
        faults.append(f"{reports} reports in the PACS instead of 1")
    return tuple(faults)


def _send(node: NodeProgram, uid: str, dataset: bytes, *, copies: int, senders: int) -> list[int]:
    def send(number: int) -> list[int]:
        with Modality(node.port) as modality:
            return [modality.store(uid, dataset) for _ in range(number, copies, senders)]

    return [answer for answers in in_parallel(send, range(senders), threads=senders) for answer in answers]


def _aside(node: NodeProgram, dataset: bytes) -> bool:
    """Whether a file outside the shelves of instances ends with these bytes, wherever the node keeps such files."""
    data = node.folder / "data"
    files = [path for path in data.rglob("*") if path.is_file() and data / "instances" not in path.parents]
    return any(path.read_bytes().endswith(dataset) for path in files if path.stat().st_size < 1_000_000)


def _named(answers: Sequence[int]) -> Mapping[str, int]:
    return {f"0x{answer:04X}": number for answer, number in Counter(answers).items()}
