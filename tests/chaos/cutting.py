# SPDX-License-Identifier: Apache-2.0
"""C-STOREs cut at a random byte in either direction (goal 14), and a node killed in the middle of one (goal 25)."""

import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from harness.modality import SUCCESS, Modality, RejectedError, slice_dataset
from harness.node import NodeProgram
from harness.processes import wait_until
from tests.chaos.journal import audit, stored_instances
from tests.chaos.proxy import Fault, Proxy
from tests.chaos.verdict import QUIET, Chaos, Verdict, in_parallel, stopwatch

ANSWER_BYTES = 700
"""More than the node says in an association with one C-STORE: some cuts come too late to matter."""
THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A C-STORE through a bad network."""

    sop_instance_uid: str
    dataset: bytes
    up: bool
    cut_after_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the sender saw at first (None: no answer), and when it sent again."""

    sop_instance_uid: str
    first: int | None
    again: int | None


def run_cuts(chaos: Chaos) -> Verdict:
    """Cut C-STOREs; look what the node has of those that saw success; send all of them again."""
    with stopwatch() as seconds, chaos.running_node(changes=QUIET) as node:
        attempts = [_attempt(chaos, number) for number in range(chaos.sizes.cuts)]
        firsts = in_parallel(lambda each: _through_proxy(node, each), attempts, threads=THREADS)
        wait_until(
            lambda: not list((node.folder / "data" / "incoming").iterdir()), seconds=60, what="incoming is not empty"
        )
        kept_before = set(stored_instances(node))
        repeats = in_parallel(lambda each: _directly(node, each), attempts, threads=THREADS)
        outcomes = [
            Outcome(sop_instance_uid=attempt.sop_instance_uid, first=first, again=again)
            for attempt, first, again in zip(attempts, firsts, repeats, strict=True)
        ]
        node.stop()
        kept, found = Counter(stored_instances(node).keys()), audit(node)
        return Verdict(
            name="cut at a random byte",
            database=chaos.database,
            lost=count_lost(outcomes, kept_before, kept),
            duplicated=len([uid for uid, number in kept.items() if number > 1]),
            seconds=seconds(),
            faults=(*found.faults, *resend_faults(outcomes)),
            found=_summary(outcomes, kept_before),
        )


def count_lost(outcomes: Collection[Outcome], kept_before: Collection[str], kept: Mapping[str, int]) -> int:
    """Count the instances that were acknowledged and are not there, before sending again or after."""
    first = sum(each.first == SUCCESS and each.sop_instance_uid not in kept_before for each in outcomes)
    again = sum(each.again == SUCCESS and not kept.get(each.sop_instance_uid, 0) for each in outcomes)
    return first + again


def resend_faults(outcomes: Collection[Outcome]) -> tuple[str, ...]:
    """Return a sentence when sending again did not always give success."""
    answers = Counter(each.again for each in outcomes if each.again != SUCCESS)
    return (f"sent again without a cut, answered with {dict(answers)} instead of success",) if answers else ()


def _summary(outcomes: Collection[Outcome], kept_before: Collection[str]) -> dict[str, int]:
    unseen = sum(each.first is None and each.sop_instance_uid in kept_before for each in outcomes)
    return {
        "cuts": len(outcomes),
        "success seen": sum(each.first == SUCCESS for each in outcomes),
        "stored though the sender saw a failure": unseen,
    }


def _attempt(chaos: Chaos, number: int) -> Attempt:
    rng = type(chaos.rng)(f"{chaos.seed}-{number}")
    uid = chaos.uid("cut", number)
    dataset = slice_dataset(
        uid, study_instance_uid=chaos.uid("cut study", number // 100), size_bytes=rng.choice((8_192, 65_536, 262_144))
    )
    up = rng.random() < 0.5
    return Attempt(
        sop_instance_uid=uid,
        dataset=dataset,
        up=up,
        cut_after_bytes=rng.randrange(len(dataset) + ANSWER_BYTES if up else ANSWER_BYTES),
    )


def _through_proxy(node: NodeProgram, attempt: Attempt) -> int | None:
    fault, none = Fault(cut_after_bytes=attempt.cut_after_bytes), Fault()
    up, down = (fault, none) if attempt.up else (none, fault)
    with Proxy(node.port, up=up, down=down) as proxy:
        return _store(proxy.port, attempt)


def _directly(node: NodeProgram, attempt: Attempt) -> int | None:
    return _store(node.port, attempt)


def _store(port: int, attempt: Attempt) -> int | None:
    answer: int | None = None
    try:
        with Modality(port) as modality:
            answer = modality.store(attempt.sop_instance_uid, attempt.dataset)
    except (OSError, RejectedError):
        pass  # that is the point
    return answer


def run_restart(chaos: Chaos) -> Verdict:
    """Kill the node while objects arrive: the next start finds parts of files, and leaves none."""
    with stopwatch() as seconds, chaos.running_node(changes=QUIET) as node:
        parts, left = 0, 0
        for _ in range(chaos.sizes.restarts):
            modalities = [Modality(node.port) for _ in range(4)]
            for index, modality in enumerate(modalities):
                _send_half(chaos, modality, f"{parts}-{index}")
            time.sleep(1)
            node.kill()
            parts += _parts(node)
            for modality in modalities:
                modality.close(release=False)
            node.start()
            left = _parts(node)
            if left:
                break
        node.stop()
        faults = audit(node).faults + ((f"{left} files in incoming after a restart",) if left else ())
        return Verdict(
            name="restart in the middle of C-STOREs",
            database=chaos.database,
            kills=chaos.sizes.restarts,
            seconds=seconds(),
            faults=faults,
            found={"parts of files at the kills": parts},
        )


def _send_half(chaos: Chaos, modality: Modality, name: str) -> None:
    uid = chaos.uid("half", name)
    request = modality.request(uid, slice_dataset(uid, study_instance_uid=chaos.uid("half"), size_bytes=400_000))
    modality.socket.sendall(request[: len(request) // 2])


def _parts(node: NodeProgram) -> int:
    return len(list((node.folder / "data" / "incoming").iterdir()))
