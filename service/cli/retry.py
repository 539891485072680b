# SPDX-License-Identifier: Apache-2.0
"""`dokuei retry`: held results go out again."""

from pathlib import Path

from service.cli.console import console, print_json
from service.cli.signals import wake
from service.cli.status import open_statistics
from service.domain.errors import ConfigurationError
from service.settings import load_settings
from service.storage.database import database_of
from service.storage.ledger import SqlLedger


def retry(config: Path, destination: str | None, *, as_json: bool) -> int:
    """Make refused deliveries pending again; the running node's reconciler picks them up."""
    settings = load_settings(config)
    known = {entry.name for entry in settings.destinations}
    if destination is not None and destination not in known:
        raise ConfigurationError(f"destination '{destination}' is not configured; known: {', '.join(sorted(known))}")
    open_statistics(settings.storage)  # says so when there is no ledger
    ledger = SqlLedger(database_of(settings.storage), root=settings.storage.folder, enqueue=_no_task)
    with ledger.transaction() as transaction:
        number = transaction.deliveries.reopen(destination)
    wake(settings.storage)
    if as_json:
        print_json({"reopened": number, "destination": destination})
        return 0
    console.print(f"{number} held object(s) will be sent again within a minute of the node running")
    return 0


def _no_task(connection: object, task: object) -> None:
    """Enqueue nothing: the reconciler finds what is pending and undriven."""
