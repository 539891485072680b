# SPDX-License-Identifier: Apache-2.0
"""The tables of the ledger; every time is in seconds since the epoch, every path relative to the data folder."""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True)


def _reference(name: str, target: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, sa.ForeignKey(target), nullable=nullable, index=True)


def _text(name: str, *, unique: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, unique=unique, server_default=None if unique else "")


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _size(name: str) -> sa.Column[int]:
    # An object may exceed 2 GiB. SQLite's INTEGER takes eight bytes where needed; PostgreSQL's never does.
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Float, nullable=nullable)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON, nullable=False)


study = sa.Table(
    "study",
    metadata,
    _id(),
    _text("study_instance_uid", unique=True),
    _time("first_seen_at"),
    _time("last_seen_at"),
    _time("evaluated_at"),
    _time("evaluate_at", nullable=True),
    _count("revision"),
    _count("unclosed"),
    _count("generation"),
    _text("closer_task_id"),
    # 1 when all files of its images are deleted, or being deleted: retention need not look at it again.
    sa.Column("purged", sa.Integer, nullable=False, server_default="0", index=True),
    # 1 while all of it came because we asked an archive for it: then it is analysed for comparison alone.
    _count("fetched"),
)

revision = sa.Table(
    "revision",
    metadata,
    _id(),
    _reference("study_id", "study.id"),
    sa.Column("number", sa.Integer, nullable=False),
    _text("reason"),
    _count("instance_count"),
    # The last instance row that the frozen set holds: rows are never removed from a study, so the set is a prefix.
    _count("last_instance_id"),
    _time("closed_at"),
    _time("routed_at", nullable=True),
    _json("rules"),
    _json("pipelines"),
    _count("attempt"),
    _text("task_id"),
    sa.UniqueConstraint("study_id", "number"),
)

instance = sa.Table(
    "instance",
    metadata,
    _id(),
    _reference("study_id", "study.id"),
    _text("sop_instance_uid", unique=True),
    _text("sop_class_uid"),
    _text("series_instance_uid"),
    _text("transfer_syntax_uid"),
    _text("path"),
    _text("sha256"),
    _size("size_bytes"),
    _text("calling_ae"),
    _text("peer"),
    _time("received_at"),
    _json("attributes"),
    # The purge that deletes its file (`path` is still there) or has deleted it (`path` is "").
    sa.Column("purge_id", sa.Integer, nullable=True, index=True),
    # 1 when a peer asked us to commit ourselves to it: its file is then never deleted.
    _count("promised"),
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    _id(),
    # The digest of an object's bytes, or a job: each is kept once.
    _text("key", unique=True),
    sa.Column("reason", sa.Text, nullable=False, index=True),
    _text("message"),
    sa.Column("peer", sa.Text, nullable=False, server_default="", index=True),
    _text("calling_ae"),
    _text("study_instance_uid"),
    _text("sop_class_uid"),
    _text("sop_instance_uid"),
    _text("transfer_syntax_uid"),
    _text("path"),
    _text("sha256"),
    _size("size_bytes"),
    _size("offset"),
    _text("job_key"),
    _text("inputs_sha256"),
    _text("ended_by"),
    _text("stage"),
    _json("flags"),
    _count("times"),
    _time("first_at"),
    sa.Column("last_at", sa.Float, nullable=False, index=True),
)

job = sa.Table(
    "job",
    metadata,
    _id(),
    _text("key", unique=True),
    _reference("study_id", "study.id"),
    _reference("revision_id", "revision.id"),
    sa.Column("result_revision", sa.Integer, nullable=False),
    _text("pipeline"),
    # Who and when, of the first input: prior studies are found by them. "" where the header does not say.
    _text("patient_key"),
    _text("study_date"),
    _text("package_name"),
    _text("package_version"),
    _text("package_sha256"),
    _text("package_status"),
    _text("package_title"),
    _text("priority"),
    sa.Column("state", sa.Text, nullable=False, index=True),
    _json("inputs"),
    _json("flags"),
    _json("refusals"),
    _count("crashes"),
    _count("starts"),
    _count("encode_failures"),
    _text("outcome"),
    _text("headline"),
    sa.Column("triage_score", sa.Float, nullable=True),
    _time("received_at"),
    _time("created_at"),
    _time("analysed_at", nullable=True),
    _time("encoded_at", nullable=True),
    _time("ended_at", nullable=True),
    _count("attempt"),
    _text("task_id"),
    # The purge that deletes its folder, and what stays of its result: outcome and values, for later studies.
    sa.Column("purge_id", sa.Integer, nullable=True),
    sa.Column("kept", sa.JSON, nullable=True),
    # 1 for an analysis for comparison alone: nothing of it is written, sent or counted.
    _count("as_prior"),
    sa.Index("ix_job_prior", "patient_key", "pipeline", "study_date"),
    sa.Index("ix_job_purge_id_ended_at", "purge_id", "ended_at"),
)

prior_fetch = sa.Table(
    "prior_fetch",
    metadata,
    _id(),
    # The job that waits for it until `due_at`, unless `outcome` says what it was told.
    sa.Column("job_id", sa.Integer, sa.ForeignKey("job.id"), nullable=False, unique=True),
    sa.Column("state", sa.Text, nullable=False, server_default="", index=True),
    _text("outcome"),
    _time("created_at"),
    _time("due_at"),
    _time("ended_at", nullable=True),
    _count("attempt"),
    _text("task_id"),
)

asked_study = sa.Table(
    "asked_study",
    metadata,
    _id(),
    _reference("fetch_id", "prior_fetch.id"),
    sa.Column("study_instance_uid", sa.Text, nullable=False, server_default="", index=True),
    _json("series"),
    _text("state"),
    sa.UniqueConstraint("fetch_id", "study_instance_uid"),
)

result_object = sa.Table(
    "result_object",
    metadata,
    _id(),
    _reference("job_id", "job.id"),
    _text("kind"),
    _text("sop_class_uid"),
    _text("sop_instance_uid", unique=True),
    _text("path"),
    # Objects of one slot say the same in different SOP classes; the lowest rank that is taken is enough.
    _text("slot"),
    _count("rank"),
    # The profile that it was written for, "" for the default's.
    _text("profile"),
    # "" until its file is deleted, which says it until then.
    _text("series_instance_uid"),
    _time("created_at"),
)

held_object = sa.Table(
    "held_object",
    metadata,
    _id(),
    _reference("job_id", "job.id"),
    _text("kind"),
    _text("profile"),
    _text("sop_class_uid"),
    _text("sop_instance_uid"),
    _text("path"),
    _json("destinations"),
    _json("problems"),
    _time("held_at"),
)

delivery = sa.Table(
    "delivery",
    metadata,
    _id(),
    _reference("job_id", "job.id"),
    _reference("object_id", "result_object.id"),
    _text("destination"),
    sa.Column("state", sa.Text, nullable=False, index=True),
    _count("attempts"),
    _count("permanent_refusals"),
    _time("next_attempt_at"),
    sa.Column("last_status", sa.Integer, nullable=True),
    _text("last_error"),
    _time("created_at"),
    _time("stored_at", nullable=True),
    _time("ended_at", nullable=True),
    _text("proof"),
    # 1 while the destination is not there: no task drives the row, and its circuit releases it.
    _count("parked"),
    _count("tries"),
    _count("attempt"),
    _text("task_id"),
    sa.UniqueConstraint("object_id", "destination"),
    # Ten thousand rows wait through an outage: nothing may be looked for among all of them.
    sa.Index("ix_delivery_job_destination", "job_id", "destination", "state"),
    sa.Index("ix_delivery_waiting", "destination", "state", "parked"),
)

commitment = sa.Table(
    "commitment",
    metadata,
    _id(),
    _reference("job_id", "job.id"),
    _text("destination"),
    _text("transaction_uid", unique=True),
    _json("delivery_ids"),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("number", sa.Integer, nullable=False),
    _count("unanswered"),
    _time("created_at"),
    _time("asked_at", nullable=True),
    _time("due_at"),
    _time("ended_at", nullable=True),
    _count("parked"),
    _count("attempt"),
    _text("task_id"),
    sa.UniqueConstraint("job_id", "destination", "number"),
)

circuit = sa.Table(
    "circuit",
    metadata,
    _id(),
    _text("destination", unique=True),
    _text("state"),
    _count("failures"),
    _count("probes"),
    _count("failed_job_id"),
    _time("due_at"),
    _count("attempt"),
    _text("task_id"),
)

commitment_order = sa.Table(
    "commitment_order",
    metadata,
    _id(),
    _text("peer"),
    _text("calling_ae"),
    _text("transaction_uid"),
    _json("references"),
    _count("reported"),
    _count("attempts"),
    _time("created_at"),
    _time("due_at"),
    _time("ended_at", nullable=True),
    _count("attempt"),
    _text("task_id"),
    sa.UniqueConstraint("peer", "transaction_uid"),
)

notification = sa.Table(
    "notification",
    metadata,
    _id(),
    _reference("job_id", "job.id"),
    _text("notifier"),
    sa.Column("state", sa.Text, nullable=False, index=True),
    _count("attempts"),
    _time("next_attempt_at"),
    _time("created_at"),
    _time("ended_at", nullable=True),
    _count("attempt"),
    _text("task_id"),
    sa.UniqueConstraint("job_id", "notifier"),
)

shadow_run = sa.Table(
    "shadow_run",
    metadata,
    _id(),
    _reference("job_id", "job.id"),
    _text("package_name"),
    _text("package_version"),
    _text("package_sha256"),
    _text("package_status"),
    sa.Column("state", sa.Text, nullable=False, index=True),
    _text("active_outcome"),
    sa.Column("active_score", sa.Float, nullable=True),
    sa.Column("active_above", sa.Boolean, nullable=True),
    _text("outcome"),
    _text("headline"),
    sa.Column("score", sa.Float, nullable=True),
    sa.Column("above", sa.Boolean, nullable=True),
    sa.Column("agrees", sa.Boolean, nullable=True),
    sa.Column("score_difference", sa.Float, nullable=True),
    sa.Column("seconds", sa.Float, nullable=True),
    _text("error"),
    _time("created_at"),
    _time("ended_at", nullable=True),
    _count("tries"),
    _count("attempt"),
    _text("task_id"),
)

audit_message = sa.Table(
    "audit_message",
    metadata,
    _id(),
    _time("at"),
    sa.Column("severity", sa.Integer, nullable=False),
    _text("text"),
    sqlite_autoincrement=True,  # a number is never used again: the collector knows repetitions by it
)

drift_study = sa.Table(
    "drift_study",
    metadata,
    _id(),
    _text("pipeline"),
    _text("package_sha256"),
    _text("study_key"),
    _json("numbers"),
    _json("words"),
    _time("at"),
    sa.UniqueConstraint("pipeline", "package_sha256", "study_key", name="uq_drift_study_package_study"),
    sqlite_autoincrement=True,  # the newest have the highest numbers, also after the oldest are forgotten
)

drift_watch = sa.Table(
    "drift_watch",
    metadata,
    _id(),
    _text("pipeline"),
    _text("package_sha256"),
    _text("package_name"),
    _text("package_version"),
    _text("state"),
    _time("updated_at"),
    sa.UniqueConstraint("pipeline", "package_sha256", name="uq_drift_watch_package"),
)

purge = sa.Table(
    "purge",
    metadata,
    _id(),
    sa.Column("study_id", sa.Integer, nullable=True),
    _text("study_key"),
    _text("what"),
    _text("rule"),
    _count("files"),
    _size("size_bytes"),
    # SHA-256 over the sorted digests of what is deleted, one a line.
    _text("digests_sha256"),
    _time("begun_at"),
    sa.Column("ended_at", sa.Float, nullable=True, index=True),
)

member = sa.Table(
    "member",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False, unique=True, server_default=""),
    _text("role"),
    _text("incarnation"),
    _text("version"),
    _text("config_sha256_8"),
    _time("beat_at"),  # by the database's clock: those of the members' machines may differ
    sqlite_autoincrement=True,  # the first to come leads, and its number is never used again
)
