# SPDX-License-Identifier: Apache-2.0
"""How much lies on the disk, and what was deleted: what `dokuei status` shows of retention."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from service.domain.errors import StorageError
from service.domain.purge import Purged
from service.storage import schema


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionStatus:
    """Images that are here (and of those, promised to a peer for good), results that are here, and what was deleted.

    `unfinished` purges have begun and not ended; times are seconds since the epoch.
    """

    images: int
    image_bytes: int
    promised_images: int
    results: int
    deleted_studies: int
    deleted_images: int
    deleted_results: int
    deleted_bytes: int
    unfinished: int
    last_deleted_at: float | None


def retention_status(engine: sa.Engine) -> RetentionStatus:
    """Ask the ledger.

    Raises
    ------
    StorageError
        It cannot be read.
    """
    try:
        with engine.connect() as connection:
            return _status(connection)
    except DBAPIError as error:
        raise StorageError(f"the ledger cannot be read: {type(error).__name__}; see `dokuei doctor`") from error


def _status(connection: sa.Connection) -> RetentionStatus:
    instance, job, purge = schema.instance.c, schema.job.c, schema.purge.c
    count, here = sa.func.count(), instance.purge_id.is_(None)
    images, image_bytes = connection.execute(sa.select(count, sa.func.sum(instance.size_bytes)).where(here)).one()
    promised = connection.execute(sa.select(count).where(here, instance.promised == 1)).scalar_one()
    made = (job.purge_id.is_(None), job.analysed_at.is_not(None))
    ended = purge.ended_at.is_not(None)
    of = {
        what: connection.execute(sa.select(count, sa.func.sum(purge.files)).where(ended, purge.what == what)).one()
        for what in (Purged.INPUT, Purged.RESULT)
    }
    sums = sa.select(sa.func.sum(purge.size_bytes), sa.func.max(purge.ended_at)).where(ended)
    deleted_bytes, last = connection.execute(sums).one()
    return RetentionStatus(
        images=images,
        image_bytes=int(image_bytes or 0),
        promised_images=promised,
        results=connection.execute(sa.select(count).where(*made)).scalar_one(),
        deleted_studies=of[Purged.INPUT][0],
        deleted_images=int(of[Purged.INPUT][1] or 0),
        deleted_results=of[Purged.RESULT][0],
        deleted_bytes=int(deleted_bytes or 0),
        unfinished=connection.execute(sa.select(count).where(~ended)).scalar_one(),
        last_deleted_at=last,
    )
