# SPDX-License-Identifier: Apache-2.0
"""DICOMweb from the settings: the STOW-RS server, and which kind of destination an entry is."""

from collections.abc import Iterator, Sequence

from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES
from service.domain.errors import ConfigurationError
from service.ports import Destination, Observer, Receiver
from service.settings import DestinationSettings, DicomwebSettings, PeerSettings, Settings
from service.transport.dicomweb.admission import read_token
from service.transport.dicomweb.client import StowClient
from service.transport.dicomweb.server import StowServer
from service.transport.store_scu import StoreScu
from service.transport.tls import TlsServer


def make_destination(entry: DestinationSettings, *, ae_title: str, observer: Observer) -> Destination:
    """Return the sender for an entry of `destinations`: STOW-RS where it has a URL, C-STORE elsewhere."""
    return StowClient(entry, observer=observer) if entry.url else StoreScu(entry, ae_title=ae_title)


def make_stow_server(
    settings: DicomwebSettings, *, peers: Sequence[PeerSettings], receiver: Receiver, observer: Observer
) -> StowServer:
    """Return the server of the `dicomweb` section."""
    return StowServer(
        settings,
        peers=peers,
        receiver=receiver,
        observer=observer,
        transfer_syntaxes=SUPPORTED_TRANSFER_SYNTAXES,
        tls=TlsServer(settings.tls, observer=observer, name="dicomweb") if settings.tls else None,
    )


def dicomweb_problems(settings: Settings) -> list[str]:
    """Return which tokens cannot be used."""
    return list(_token_problems(settings))


def _token_problems(settings: Settings) -> Iterator[str]:
    for peer in settings.peers:
        try:
            read_token(peer)
        except ConfigurationError as error:
            yield str(error)
