# SPDX-License-Identifier: Apache-2.0
"""Kills, stops and wakes members of one ledger again and again while studies arrive at two of them."""

import signal
import time
from dataclasses import dataclass, field

from harness.dcmtk import Called
from harness.members import Cluster, MemberProgram, running_cluster
from service.domain.member import Role
from service.storage.members import LEASE_SECONDS
from tests.chaos.journal import audit
from tests.chaos.kill_node import LONGEST_LIFE_SECONDS, PATIENCE_SECONDS, Sender, count_faults
from tests.chaos.studies import film_studies
from tests.chaos.verdict import Chaos, SkippedError, Verdict, stopwatch

ASLEEP_SECONDS = LEASE_SECONDS + 8
"""Long enough for its work to be taken over before it wakes."""
CHANGES = {"inference": {"workers": 1}, "close": {"quiet_seconds": 20}}


@dataclass
class Turns:
    """Where a modality sends next: receivers in turn, as behind a balancer of connections."""

    members: list[MemberProgram]
    sent: int = field(default=0)

    @property
    def called(self) -> Called:
        self.sent += 1
        return self.members[self.sent % len(self.members)].called


def run(chaos: Chaos) -> Verdict:
    """Send studies to two receivers while any member is killed, or sleeps for longer than its lease."""
    if chaos.postgres is None:
        raise SkippedError("members share a PostgreSQL database")
    url, folder = chaos.postgres.database(), chaos.folder / "members"
    studies = film_studies(chaos.folder, count=chaos.sizes.studies)
    with stopwatch() as seconds, chaos.running_orthanc() as orthanc:
        pacs = (orthanc.ae_title, orthanc.dicom_port)
        with running_cluster(folder, pacs=pacs, database_url=url, senders=2, changes=CHANGES) as cluster:
            sender = Sender(Turns(cluster.of(Role.RECEIVER)), studies)
            sender.start()
            woken = _disturb(chaos, cluster)
            sender.join(PATIENCE_SECONDS)
            watch = cluster["worker-0"]
            rows = watch.wait_for_results(len(studies), seconds=PATIENCE_SECONDS)
            tags = [orthanc.tags(instance) for instance in orthanc.instances()]
            lost, duplicated = count_faults(tags, rows, studies)
            cluster["receiver-0"].stop()
            cluster["receiver-1"].stop()
            found = audit(watch)
    return Verdict(
        name="kill -9 and SIGSTOP of members",
        database=chaos.database,
        kills=chaos.sizes.kills,
        lost=lost,
        duplicated=duplicated,
        seconds=seconds(),
        faults=found.faults,
        found={"studies": len(rows), "acknowledged": len(sender.acknowledged), "slept": woken, "seed": chaos.seed},
    )


def _disturb(chaos: Chaos, cluster: Cluster) -> int:
    """Disturb members one after the other; return how many were asleep and woke."""
    rng, woken = chaos.rng, 0
    for number in range(chaos.sizes.kills):
        time.sleep(rng.uniform(0.2, LONGEST_LIFE_SECONDS))
        member = cluster[rng.choice(sorted(cluster.members))]
        chaos.progress(f"{number + 1} of {chaos.sizes.kills}: {member.name}")
        if rng.random() < 0.2:
            member.send_signal(signal.SIGSTOP)
            time.sleep(ASLEEP_SECONDS)
            member.send_signal(signal.SIGCONT)
            woken += 1
        else:
            member.kill()
            member.start(wait=rng.random() < 0.5)
    for member in cluster.members.values():
        member.wait_until_it_listens()
    return woken
