# SPDX-License-Identifier: Apache-2.0
"""`dokuei hold`: a person stops the delivery to one destination, or lets it go again."""

from pathlib import Path

from service.bootstrap.desk import open_desk
from service.cli.console import console, print_json
from service.cli.signals import wake
from service.domain.errors import ConfigurationError
from service.settings import Settings, load_settings
from service.workflow import circuit


def hold(config: Path, destination: str, *, release: bool, as_json: bool) -> int:
    """Hold or release; doing it twice changes nothing."""
    settings = load_settings(config)
    _check(settings, destination)
    with open_desk(settings) as parts, parts.ledger.transaction() as transaction:
        changed = (circuit.let_go if release else circuit.hold)(transaction, destination)
    wake(settings.storage)
    if as_json:
        print_json({"destination": destination, "held": not release, "changed": changed})
        return 0
    console.print(_sentence(destination, release=release, changed=changed), markup=False)
    return 0


def _check(settings: Settings, destination: str) -> None:
    known = sorted(entry.name for entry in settings.destinations)
    if destination not in known:
        raise ConfigurationError(f"destination '{destination}' is not configured; known: {', '.join(known) or 'none'}")


def _sentence(destination: str, *, release: bool, changed: bool) -> str:
    if not changed:
        return f"'{destination}' was {'not held' if release else 'held already'}"
    if release:
        return f"'{destination}' is sent to again, within a minute of the node running"
    return (
        f"nothing more is sent to '{destination}'; what is being sent at this moment ends. "
        f"`dokuei hold {destination} --release` lets it go"
    )
