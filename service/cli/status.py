# SPDX-License-Identifier: Apache-2.0
"""`dokuei status`: what the ledger knows, for the person at the terminal."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from pydicom.uid import UID

from service.cli.console import console, print_json, print_table
from service.domain.errors import ConfigurationError
from service.ports.statistics import QueueCounts
from service.settings import StorageSettings, load_settings
from service.storage.database import DATABASE_FILE, database_of
from service.storage.members import members_of
from service.storage.retention_status import RetentionStatus, retention_status
from service.storage.statistics import ClassStatus, SqlStatistics, StudyStatus

SHOWN = 50
DESTINATION_COLUMNS = ("destination", "circuit", "to send", "oldest", "to commit", "declined", "refused", "last stored")
CLASS_COLUMNS = ("destination", "kind", "SOP class", "answer", "objects")
UNANALYSED = ("no rule matched", "not compared")
"""What is said of a study that no pipeline analysed: one that was sent, and an older one that was fetched."""
CIRCUITS = ("closed", "half-open", "open: not there", "HELD by a person")


def status(config: Path, *, as_json: bool) -> int:
    """Print queues, destinations and the last studies; exit status 1 when something needs a person."""
    storage = load_settings(config).storage
    statistics = open_statistics(storage)
    members = members_of(database_of(storage))
    counts, studies, classes = statistics.counts(), statistics.studies(limit=SHOWN), statistics.classes()
    if as_json:
        rows = [asdict(study) for study in studies]
        takes = [asdict(entry) for entry in classes]
        document = {"durability": storage.durability, "queues": asdict(counts), "studies": rows, "classes": takes}
        document["members"] = [{"name": item.name, "role": item.role.value} for item in members]
        print_json({**document, "retention": asdict(retention_status(database_of(storage)))})
    else:
        _warn_of_unsafe(storage)
        _tell(counts, studies, classes)
        if members:
            names = ", ".join(f"{item.name} ({item.role.value})" for item in members)
            console.print(f"members, the first keeps house: {names}", markup=False)
        _tell_of_retention(retention_status(database_of(storage)))
    return 1 if _needs_a_person(counts) else 0


def _warn_of_unsafe(storage: StorageSettings) -> None:
    if storage.durability != "durable":
        console.print(
            f"NOT DURABLE: storage.durability is '{storage.durability}'; a power cut loses acknowledged studies",
            markup=False,
            style="red",
        )


def _needs_a_person(counts: QueueCounts) -> bool:
    held = counts.deliveries_refused or counts.deliveries_abandoned
    return bool(held or counts.conflicts or counts.failed_jobs or counts.held)


def open_statistics(storage: StorageSettings) -> SqlStatistics:
    """Open the ledger for reading."""
    if storage.database_url is None and not (storage.folder / DATABASE_FILE).is_file():
        raise ConfigurationError(
            f"there is no ledger in storage.folder '{storage.folder}'; has the node run here? (the folder is relative "
            "to the directory that the node is started in)"
        )
    return SqlStatistics(database_of(storage))


def _tell(counts: QueueCounts, studies: tuple[StudyStatus, ...], classes: tuple[ClassStatus, ...]) -> None:
    columns = ("received", "study", "images", "pipeline", "state", "priority", "result", "delivered", "s")
    print_table(f"Last {len(studies)} studies", columns, [row(study) for study in studies])
    console.print("waiting: " + ", ".join(f"{stage} {number}" for stage, number in counts.pending.items()))
    print_table("Destinations", DESTINATION_COLUMNS, destination_rows(counts))
    if any(entry.state != "stored" for entry in classes):
        print_table("What destinations take", CLASS_COLUMNS, class_rows(classes))
    _tell_of_faults(counts)


def _tell_of_retention(kept: RetentionStatus) -> None:
    """Say what lies on the disk, and what was deleted."""
    promised = f", {kept.promised_images} of them promised to a peer for good" if kept.promised_images else ""
    console.print(
        f"on disk: {kept.images} images ({kept.image_bytes / 1e9:.2f} GB){promised}, {kept.results} results; deleted "
        f"by retention: {kept.deleted_images} images, {kept.deleted_results} results, "
        f"last {_local(kept.last_deleted_at)}",
        markup=False,
    )


def class_rows(classes: tuple[ClassStatus, ...]) -> list[tuple[str, ...]]:
    """Return what each destination did with each SOP class as the cells of a table."""
    return [
        (entry.destination, entry.kind, UID(entry.sop_class_uid).name, entry.state, str(entry.objects))
        for entry in classes
    ]


def _tell_of_faults(counts: QueueCounts) -> None:
    """Say what needs a person."""
    for destination, number in counts.deliveries_refused.items():
        console.print(
            f"REFUSED by '{destination}': {number} object(s) are held; see why in the log, then `dokuei retry`",
            markup=False,
            style="red",
        )
    for destination, number in counts.deliveries_abandoned.items():
        console.print(
            f"ABANDONED: {number} object(s) wait for '{destination}', which config.yaml does not name any more; put it "
            "back and restart the node to send them",
            markup=False,
            style="red",
        )
    if counts.conflicts:
        console.print(
            f"CONFLICTS: {counts.conflicts} instance(s) came again with other bytes under the same UID; the first copy "
            "stays, the others are in the quarantine: `dokuei quarantine list`",
            markup=False,
            style="red",
        )
    if counts.held:
        console.print(
            f"HELD: {counts.held} result object(s) failed the checks before sending; why: `dokuei held`",
            markup=False,
            style="red",
        )
    if counts.failed_jobs:
        console.print(f"FAILED: {counts.failed_jobs} job(s) have no result at all; see the log", style="red")


def destination_rows(counts: QueueCounts) -> list[tuple[str, ...]]:
    """Return each destination as the cells of a table."""
    return [
        (
            name,
            CIRCUITS[circuit],
            str(counts.deliveries_pending.get(name, 0)),
            _local(counts.oldest_delivery_at.get(name)),
            str(counts.commitments_pending.get(name, 0)),
            str(counts.deliveries_declined.get(name, 0)),
            str(counts.deliveries_refused.get(name, 0)),
            _local(counts.last_delivered_at.get(name)),
        )
        for name, circuit in sorted(counts.circuits.items())
    ]


def _local(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, tz=UTC).astimezone().strftime("%m-%d %H:%M:%S")


def row(study: StudyStatus) -> tuple[str, ...]:
    """Return a study as the cells of a table."""
    received = _local(study.received_at)
    seconds = f"{study.seconds:.1f}" if study.seconds is not None else ""
    state = study.state or ("waiting" if study.revision == 0 else UNANALYSED[study.as_prior])
    priority = "prior" if study.as_prior else study.priority
    delivered = f"{study.delivered}/{study.objects}" if study.objects else ""
    uid = study.study_instance_uid
    short = uid if len(uid) <= 12 else f"…{uid[-11:]}"
    cells = (received, short, str(study.instances), study.pipeline, state, priority, study.headline)
    return (*cells, delivered, seconds)
