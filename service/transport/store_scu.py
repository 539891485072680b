# SPDX-License-Identifier: Apache-2.0
"""The storage SCU: sends result objects to one configured destination and reports each object's status."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID
from pynetdicom import _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from service.domain.errors import DestinationUnreachableError
from service.ports import EncodedObject
from service.settings import DestinationSettings
from service.transport.deadline import deadline, shut_down
from service.transport.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from service.transport.upper_layer import GuardedAE, GuardedSocket, Limits, silence_pynetdicom

SLOWEST_BYTES_PER_SECOND = 100_000
"""A link slower than this is as good as down: an object gets the time that it needs at this rate, and the timeout."""
MAX_CONTEXTS = 128
"""Presentation contexts of one association (PS3.8 9.3.2.2: odd numbers from 1 to 255)."""


class StoreScu:
    """A destination for results.

    Parameters
    ----------
    ae_title
        Our own AE title, as the destination knows us.
    """

    def __init__(self, settings: DestinationSettings, *, ae_title: str) -> None:
        silence_pynetdicom()
        # Files go out byte for byte; pynetdicom otherwise parses and encodes them again.
        _config.STORE_SEND_CHUNKED_DATASET = True
        self._settings = settings
        self._ae_title = ae_title

    @property
    def name(self) -> str:
        """Name in config.yaml."""
        return self._settings.name

    def send(self, objects: Sequence[EncodedObject]) -> dict[str, int | None]:
        """C-STORE the objects over one association; see `ports.Destination`."""
        statuses: dict[str, int | None] = {item.sop_instance_uid: None for item in objects}
        if not objects:
            return statuses
        with self._association(_proposed(objects)) as association:
            for message_id, item in enumerate(objects, start=1):
                if not association.is_established:
                    break
                statuses[item.sop_instance_uid] = self._store(association, item, message_id % 65_536)
        return statuses

    def echo(self) -> None:
        """C-ECHO; raises DestinationUnreachableError with what went wrong and what to check."""
        contexts = [build_context(VERIFICATION, [IMPLICIT_VR_LITTLE_ENDIAN])]
        with self._association(contexts) as association:
            if not association.is_established:
                raise self._unreachable("accepted the association but not C-ECHO; enable the Verification SOP class")
            with deadline(self._settings.timeout_seconds, lambda: _socket(association)):
                status = association.send_c_echo()
            if status.get("Status") != 0:
                raise self._unreachable("accepted the association but did not answer C-ECHO with success")

    def _store(self, association: Association, item: EncodedObject, message_id: int) -> int | None:
        patience = self._settings.timeout_seconds
        total = patience + item.path.stat().st_size / SLOWEST_BYTES_PER_SECOND
        association.dimse_timeout = total + 1  # it counts from the first byte; the deadline strikes first
        with deadline(patience, lambda: _socket(association), total_seconds=total) as watch:
            _watch_sending(association, watch.progress)
            try:
                answer = association.send_c_store(_payload(association, item), msg_id=message_id)
            except (ValueError, RuntimeError):  # no presentation context for it; the association ended
                return None
        status = answer.get("Status")
        return None if status is None else int(status)

    @contextmanager
    def _association(self, contexts: list[PresentationContext]) -> Iterator[Association]:
        association = self._associate(contexts)
        try:
            yield association
        finally:
            with deadline(self._settings.timeout_seconds, lambda: _socket(association)):
                association.release()
            _close(association)

    def _associate(self, contexts: list[PresentationContext]) -> Association:
        """Open an association; one whose contexts were all refused is returned too, as not established."""
        opened: list[Association] = []
        handlers: list[evt.EventHandlerType] = [(evt.EVT_CONN_OPEN, lambda event: opened.append(event.assoc))]
        started = time.monotonic()
        with deadline(2 * self._settings.timeout_seconds, lambda: _socket(opened[0]) if opened else None):
            association = self._request(contexts, handlers)
        if association.is_established or association.rejected_contexts:
            return association
        _close(association)
        raise self._unreachable(self._failure(association, connected=bool(opened), started=started))

    def _request(self, contexts: list[PresentationContext], handlers: list[evt.EventHandlerType]) -> Association:
        settings = self._settings
        entity = _entity(self._ae_title, settings.timeout_seconds)
        try:
            return entity.associate(
                settings.host,
                settings.port,
                contexts=contexts,
                ae_title=settings.ae_title,
                evt_handlers=handlers,
            )
        except OSError as error:
            raise self._unreachable(f"has no address ({error.strerror or error}); check 'host'") from None

    def _failure(self, association: Association, *, connected: bool, started: float) -> str:
        if association.is_rejected:
            return _rejection_text(association)
        if connected:
            return "answered on TCP but not with an association; check that this port speaks DICOM without TLS"
        seconds = time.monotonic() - started
        return f"took no TCP connection ({seconds:.1f} s); check host, port, firewall and that the peer runs"

    def _unreachable(self, what: str) -> DestinationUnreachableError:
        settings = self._settings
        return DestinationUnreachableError(
            f"destination '{settings.name}' ({settings.ae_title} at {settings.host}:{settings.port}, "
            f"called by {self._ae_title}) {what}"
        )


def _entity(ae_title: str, timeout_seconds: float) -> GuardedAE:
    entity = GuardedAE(ae_title)
    entity.limits = Limits(pdu_seconds=timeout_seconds)
    entity.connection_timeout = timeout_seconds
    entity.acse_timeout = timeout_seconds
    entity.dimse_timeout = timeout_seconds
    entity.network_timeout = None  # deadlines bound every exchange; this timer also runs while we send
    return entity


def _proposed(objects: Iterable[EncodedObject]) -> list[PresentationContext]:
    """Propose each SOP class in its files' own transfer syntax and in the two that a PACS is sure to take.

    One context per transfer syntax: the answer then says for each whether it is accepted (PS3.8 9.3.3.2).
    """
    pairs: dict[tuple[str, str], None] = {}
    for item in objects:
        for transfer_syntax in (_transfer_syntax(item), EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN):
            pairs[item.sop_class_uid, transfer_syntax] = None
    return [build_context(sop_class, [syntax]) for sop_class, syntax in list(pairs)[:MAX_CONTEXTS]]


def _transfer_syntax(item: EncodedObject) -> str:
    return str(read_file_meta_info(item.path).TransferSyntaxUID)


def _payload(association: Association, item: EncodedObject) -> Any:
    """Return the file's path, to be sent as it is, or its data set where the peer wants another encoding."""
    wanted = (item.sop_class_uid, _transfer_syntax(item))
    accepted = {(str(context.abstract_syntax), str(_first(context))) for context in association.accepted_contexts}
    return item.path if wanted in accepted else dcmread(item.path)


def _first(context: PresentationContext) -> UID:
    return context.transfer_syntax[0]


def _watch_sending(association: Association, progress: Callable[[], None]) -> None:
    if isinstance(association.dul.socket, GuardedSocket):
        association.dul.socket.sent = progress


def _socket(association: Association) -> Any:
    return association.dul.socket.socket if association.dul.socket else None


def _close(association: Association) -> None:
    """Close the connection whatever state pynetdicom left it in."""
    connection = _socket(association)
    if connection is not None:
        shut_down(connection)
        connection.close()


def _rejection_text(association: Association) -> str:
    answer = association.acceptor.primitive
    if answer is None:
        return "rejected the association"
    advice = {(1, 3): "add our AE title there", (1, 7): "check 'ae_title' of the destination"}
    remedy = advice.get((answer.result_source or 0, answer.diagnostic or 0), "the peer's log says why")
    return f"rejected the association: {answer.reason_str}; {remedy}"
