# SPDX-License-Identifier: Apache-2.0
"""What `dokuei doctor` finds of the archive that older studies are fetched from."""

from collections.abc import Iterator

from service.cli.finding import Finding
from service.domain.errors import DokueiError
from service.settings import DestinationSettings, Permission, Settings
from service.transport.retrieve_scu import RetrieveScu


def look_at_priors(settings: Settings) -> Iterator[Finding]:
    """Ask whether the archive takes C-FIND and C-MOVE, and look whether what it sends would be let in."""
    source = settings.priors.source if settings.priors is not None else None
    for entry in settings.destinations:
        if entry.name == source:
            yield _offer(entry, settings)
            yield _way_in(entry, settings)


def _offer(entry: DestinationSettings, settings: Settings) -> Finding:
    subject, advice = f"older studies from {entry.name}", f"let {settings.node.ae_title} query and retrieve there"
    try:
        find, move = RetrieveScu(entry, ae_title=settings.node.ae_title).offers()
    except DokueiError as error:
        return Finding(subject=subject, well=False, text=str(error), advice=advice)
    missing = [name for name, offered in (("C-FIND", find), ("C-MOVE", move)) if not offered]
    text = (
        f"it does not offer Study Root {' and '.join(missing)}" if missing else "it takes Study Root C-FIND and C-MOVE"
    )
    known = f"; it must also know {settings.node.ae_title} as a place to send to, which only a study shows"
    return Finding(subject=subject, well=not missing, text=text + ("" if missing else known), advice=advice)


def _way_in(entry: DestinationSettings, settings: Settings) -> Finding:
    peers = [peer.name for peer in settings.peers if peer.ae_title == entry.ae_title and Permission.STORE in peer.may]
    text = f"what it sends comes in as peer {peers[0]!r}" if peers else f"no peer {entry.ae_title} may send here"
    return Finding(
        subject=f"older studies from {entry.name}",
        well=bool(peers),
        text=text,
        advice=f"add a peer with ae_title {entry.ae_title} that may store; without one, what is asked for is rejected",
    )
