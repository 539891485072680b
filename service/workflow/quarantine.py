# SPDX-License-Identifier: Apache-2.0
"""Keeps aside what was not let in, and studies that killed their worker, within limits; lets out what a person says."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from service.domain.entry import JobRecord
from service.domain.errors import AdmissionError
from service.domain.event import QuarantineEntered, QuarantineTrimmed
from service.domain.instance import Instance
from service.domain.purge import NewPurge, Purged, digest_of
from service.domain.quarantine import CONFLICT, POISON, NewQuarantined, Quarantined
from service.ports import IncomingInstance
from service.ports.ledger import Holding, LedgerTransaction
from service.ports.store import ArrivedFile
from service.workflow.context import FlowParts

MAX_CRASHES = 2
"""A study that ends its worker process this often is set aside."""
SECONDS_PER_DAY = 86_400
BATCH = 100
"""Rows that one transaction gives up: it holds the ledger for milliseconds."""


class Quarantine:
    """The one way into the quarantine, and its limits (settings.quarantine)."""

    def __init__(self, parts: FlowParts) -> None:
        self._parts = parts
        self._limits = parts.settings.quarantine

    def refused(self, incoming: IncomingInstance, arrived: ArrivedFile, error: AdmissionError) -> None:
        """Keep an object that was not let in."""
        self._keep_file(
            NewQuarantined(
                key=arrived.name,
                reason=error.fault.value,
                message=str(error),
                peer=incoming.peer,
                calling_ae=incoming.calling_ae,
                study_instance_uid=error.study_instance_uid,
                sop_class_uid=incoming.sop_class_uid,
                sop_instance_uid=incoming.sop_instance_uid,
                transfer_syntax_uid=incoming.transfer_syntax_uid,
                sha256=arrived.sha256,
                offset=error.offset,
            ),
            arrived,
        )

    def conflict(self, instance: Instance, kept: ArrivedFile, *, peer: str) -> None:
        """Keep an instance whose UID is known with other bytes."""
        self._keep_file(
            NewQuarantined(
                key=kept.name,
                reason=CONFLICT,
                message="other bytes came under a SOP Instance UID that was known; the first ones stay",
                peer=peer,
                calling_ae=instance.calling_ae,
                study_instance_uid=instance.study_instance_uid,
                sop_class_uid=instance.sop_class_uid,
                sop_instance_uid=instance.sop_instance_uid,
                transfer_syntax_uid=instance.transfer_syntax_uid,
                sha256=instance.sha256,
            ),
            kept,
        )

    def poison(self, job: JobRecord, instances: Sequence[Instance], *, ended_by: str, stage: str) -> None:
        """Keep the name of a study that ended its worker too often; its images are where they were."""
        digests = "".join(sorted(instance.sha256 for instance in instances))
        ended = f"the analysis by {job.pipeline} ended its worker process {MAX_CRASHES} times"
        self._keep(
            NewQuarantined(
                key=f"job:{job.key}",
                reason=POISON,
                message=f"{ended}, at last by {ended_by}" if ended_by else ended,
                peer="",
                study_instance_uid=job.study_instance_uid,
                job_key=job.key,
                inputs_sha256=hashlib.sha256(digests.encode()).hexdigest(),
                ended_by=ended_by,
                stage=stage,
                flags=job.flags,
            )
        )

    def _keep_file(self, new: NewQuarantined, file: ArrivedFile) -> None:
        """Keep bytes; of what is larger than the whole quarantine, only the reason."""
        if file.size_bytes <= self._limits.max_bytes:
            new = replace(new, path=self._parts.store.set_aside(file), size_bytes=file.size_bytes)
        self._keep(new)

    def _keep(self, new: NewQuarantined) -> None:
        with self._parts.ledger.transaction() as transaction:
            is_new = transaction.quarantine.add(new, at=self._parts.now())
        if is_new:
            self._tell(new)
            self.trim()

    def _tell(self, new: NewQuarantined) -> None:
        uid = new.study_instance_uid
        key = self._parts.study_key(uid) if uid else ""
        self._parts.observer(
            QuarantineEntered(peer=new.peer, reason=new.reason, study_key=key, size_bytes=new.size_bytes)
        )

    def trim(self) -> None:
        """Give up what is too old, and the oldest of whoever holds most while there is too much."""
        before = self._parts.now() - self._limits.keep_days * SECONDS_PER_DAY
        with self._parts.store.purging() as may:  # not while a backup is made
            while may and self._give_up(before=before):
                pass

    def sweep(self, *, grace_seconds: float = 0.0) -> int:
        """Delete files that no row names: a crash came between them.

        Without a grace only while nothing is received; a file that is younger may have its row on its way.
        """
        old = self._parts.store.set_asides(older_than_seconds=grace_seconds)
        with self._parts.ledger.reading() as view:
            named = view.quarantine.paths()
        strays = [path for path in old if path not in named]
        self._parts.store.remove_aside(strays)
        return len(strays)

    def remove(self, entry: Quarantined) -> None:
        """Delete a row and its file."""
        with self._parts.ledger.transaction() as transaction:
            transaction.quarantine.remove([entry.id])
        self._parts.store.remove_aside(_paths([entry]))

    def _give_up(self, *, before: float) -> bool:
        """Give up some rows; say whether there may be more."""
        with self._parts.ledger.transaction() as transaction:
            reason, rows = self._too_much(transaction, before=before)
            if not rows:
                return False
            at = self._parts.now()
            proof = transaction.purges.begin(_proof(reason, rows), at=at)
            transaction.quarantine.remove([row.id for row in rows])
            transaction.purges.end(proof.id, at=at)
        self._parts.store.remove_aside(_paths(rows))  # a file without a row is swept up at the next start
        self._parts.observer(QuarantineTrimmed(reason=reason, count=len(rows)))
        return True

    def _too_much(self, transaction: LedgerTransaction, *, before: float) -> tuple[str, Sequence[Quarantined]]:
        aged = transaction.quarantine.oldest(before=before, limit=BATCH)
        if aged:
            return "age", aged
        holdings = transaction.quarantine.holdings()
        objects = sum(holding.objects for holding in holdings) - self._limits.max_objects
        if objects > 0:
            fullest = max(holdings, key=lambda holding: holding.objects)
            return "number", transaction.quarantine.oldest(peer=fullest.peer, limit=min(objects, BATCH))
        excess = sum(holding.size_bytes for holding in holdings) - self._limits.max_bytes
        if excess > 0:
            return "size", self._oldest_bytes(transaction, holdings, excess)
        return "", ()

    def _oldest_bytes(
        self, transaction: LedgerTransaction, holdings: Collection[Holding], excess: int
    ) -> Sequence[Quarantined]:
        fullest = max(holdings, key=lambda holding: holding.size_bytes)
        given_up: list[Quarantined] = []
        for row in transaction.quarantine.oldest(peer=fullest.peer, limit=BATCH):
            given_up.append(row)
            excess -= row.size_bytes
            if excess <= 0:
                break
        return given_up


def _proof(reason: str, rows: Sequence[Quarantined]) -> NewPurge:
    return NewPurge(
        what=Purged.QUARANTINE,
        rule=f"quarantine: {reason}",
        study_id=None,
        study_key="",
        files=len(_paths(rows)),
        size_bytes=sum(row.size_bytes for row in rows),
        digests_sha256=digest_of(row.sha256 for row in rows),
    )


def _paths(rows: Sequence[Quarantined]) -> list[Path]:
    return [row.path for row in rows if row.path is not None]
