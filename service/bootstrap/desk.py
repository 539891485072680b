# SPDX-License-Identifier: Apache-2.0
"""The ledger and the files of a node for commands beside it, whether it runs or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from service.bootstrap.clock import SystemClock
from service.bootstrap.no_analyst import NoAnalyst
from service.domain.errors import ConfigurationError
from service.domain.event import Event
from service.domain.study import study_key
from service.settings import Settings
from service.storage.database import DATABASE_FILE, database_of
from service.storage.folder import open_folder, site_key
from service.storage.instance_store import FileStore
from service.storage.ledger import SqlLedger
from service.workflow.context import FlowParts


@contextmanager
def open_desk(settings: Settings) -> Iterator[FlowParts]:
    """Open what receiving needs; tasks are enqueued by the node's reconciler, within a minute of it running.

    Raises
    ------
    ConfigurationError
        No node has run with this data folder.
    """
    if settings.storage.database_url is None and not (settings.storage.folder / DATABASE_FILE).is_file():
        raise ConfigurationError(
            f"there is no ledger in storage.folder '{settings.storage.folder}'; has the node run here? (the folder is "
            "relative to the directory that the node is started in)"
        )
    folder = open_folder(settings.storage.folder)
    database = database_of(settings.storage)
    try:
        yield FlowParts(
            settings=settings,
            clock=SystemClock(),
            observer=_unheard,
            ledger=SqlLedger(database, root=folder.root, enqueue=_no_task),
            store=FileStore(folder, reserve_bytes=settings.storage.reserve_bytes),
            analyst=NoAnalyst("a command"),
            pipelines={},
            packages={},
            destinations={},
            notifiers={},
            study_key=partial(study_key, site_key=site_key(folder.root)),
        )
    finally:
        database.dispose()


def _no_task(connection: object, task: object) -> None:
    """Enqueue nothing: the reconciler finds what is pending and undriven."""


def _unheard(event: Event) -> None:
    """Log nothing: the command says what it did."""
