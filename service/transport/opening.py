# SPDX-License-Identifier: Apache-2.0
"""Opens associations with one configured system, and says in words what kept it from that."""

import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from service.domain.errors import DestinationUnreachableError
from service.ports import Observer
from service.settings import DestinationSettings
from service.transport.interruption import OpenConnections
from service.transport.negotiation import rejection_text
from service.transport.requestor import AssociationRejectedError, Requestor
from service.transport.tls import TlsClient, TlsError, failure_word


class Opener:
    """The way to one system.

    Parameters
    ----------
    ae_title
        Our own AE title, as the system knows us.
    observer
        Is told when certificates are read.
    """

    def __init__(self, settings: DestinationSettings, *, ae_title: str, observer: Observer) -> None:
        self._settings = settings
        self._ae_title = ae_title
        self._open = OpenConnections()
        self._tls = (
            TlsClient(settings.tls, host=settings.host, observer=observer, name=f"to-{settings.name}")
            if settings.tls is not None
            else None
        )

    def interrupt(self) -> None:
        """Break every association, now and from now on."""
        self._open.interrupt()

    @contextmanager
    def association(self, contexts: Sequence[tuple[str, str]], *, scp_roles: Iterable[str] = ()) -> Iterator[Requestor]:
        """Open an association for (abstract syntax, transfer syntax) pairs; see `Requestor.associate`.

        Raises
        ------
        DestinationUnreachableError
            No association came about: what went wrong, and what to check.
        """
        settings = self._settings
        try:
            association = Requestor.connect(
                settings.host, settings.port, patience_seconds=settings.timeout_seconds, tls=self._tls
            )
        except TlsError as error:
            raise self.unreachable(str(error)) from None
        except OSError as error:
            raise self.unreachable(_connect_text(error)) from None
        with self._open.holding(association.socket), association:
            self._negotiate(association, contexts, scp_roles)
            yield association

    def _negotiate(self, association: Requestor, contexts: Sequence[tuple[str, str]], scp_roles: Iterable[str]) -> None:
        try:
            association.associate(self._ae_title, self._settings.ae_title, contexts, scp_roles=scp_roles)
        except AssociationRejectedError as error:
            raise self.unreachable(_rejection_text(error.rejection)) from None
        except ConnectionError as error:
            if isinstance(error.__cause__, ssl.SSLError):  # TLS 1.3: the verdict on our certificate comes only now
                raise self.unreachable(str(TlsError(failure_word(error.__cause__)))) from None
            what = "answered on TCP but not with an association; check that this port speaks DICOM"
            if not self._tls:
                raise self.unreachable(f"{what} without TLS") from None
            # A server that resets what we sent takes its own alert away with it: the certificate may be the cause.
            raise self.unreachable(f"{what} with TLS, and that it accepts our certificate") from None

    def text(self, what: str) -> str:
        """Return a sentence about the system that names it as config.yaml does."""
        settings = self._settings
        return (
            f"destination '{settings.name}' ({settings.ae_title} at {settings.host}:{settings.port}, "
            f"called by {self._ae_title}) {what}"
        )

    def unreachable(self, what: str) -> DestinationUnreachableError:
        """Return the error that says so."""
        return DestinationUnreachableError(self.text(what))


def _connect_text(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"has no address ({error.strerror or error}); check 'host'"
    text = error.strerror or str(error) or type(error).__name__
    return f"took no TCP connection ({text}); check host, port, firewall and that the peer runs"


def _rejection_text(rejection: tuple[int, int, int]) -> str:
    advice = {(1, 3): "add our AE title there", (1, 7): "check 'ae_title' of the destination"}
    remedy = advice.get(rejection[1:], "the peer's log says why")
    return f"rejected the association: {rejection_text(rejection)}; {remedy}"
