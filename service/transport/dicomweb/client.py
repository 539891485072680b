# SPDX-License-Identifier: Apache-2.0
"""The STOW-RS client: sends result objects to a DICOMweb service in one request and reports each object's status."""

import http.client
import json
import socket
import ssl
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit
from uuid import uuid4

from service.domain.errors import DestinationUnreachableError
from service.ports import EncodedObject, ObjectReference, Observer
from service.settings import DestinationSettings
from service.transport.bearer import TokenFileError, authorization
from service.transport.deadline import Deadline, deadline
from service.transport.dicomweb.store_response import JSON_TYPE, StoreResponseError, read_store_response
from service.transport.forms import choose_forms
from service.transport.interruption import CONNECT_SECONDS, OpenConnections
from service.transport.statuses import CANNOT_UNDERSTAND, OUT_OF_RESOURCES
from service.transport.tls import TlsClient, TlsError

SLOWEST_BYTES_PER_SECOND = 100_000
"""A link slower than this is as good as down: a request gets the time that it needs at this rate, and the timeout."""
CHUNK_BYTES = 262_144
MAX_ANSWER_BYTES = 16_777_216
NEW_LINE = b"\r\n"
PORTS = {"http": 80, "https": 443}
NO_STUDY = "2.25.0"
"""A Study Instance UID that nobody has: a search for it shows that the service is there and moves nobody's data."""

ANSWERED = frozenset({HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT})
"""The statuses that come with a Store Instances Response (PS3.18 table 10.5.3-1)."""
BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE})
"""Time mends these: Orthanc answers 507 when it is full."""
REFUSED = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""The service does not want these objects, and will not tomorrow."""
NO_SEARCH = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})

REMEDIES: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "give it the token that it wants in 'token_file'",
    HTTPStatus.FORBIDDEN: "let this node store there, or correct 'token_file'",
    HTTPStatus.NOT_FOUND: "check the path of 'url'; it is what stands before /studies",
    HTTPStatus.METHOD_NOT_ALLOWED: "check the path of 'url', and that the service does STOW-RS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """What the service answered."""

    status: int
    body: bytes


class StowClient:
    """A destination for results that speaks DICOMweb.

    The certificate is verified, and redirects are not followed: the objects name a patient and go where the site's
    configuration says, nowhere else.
    """

    def __init__(self, settings: DestinationSettings, *, observer: Observer) -> None:
        self._settings = settings
        self._url = urlsplit(settings.url or "")
        self._host = self._url.hostname or ""
        self._open = OpenConnections()
        self._tls = (
            TlsClient(settings.tls, host=self._host, observer=observer, name=settings.name) if settings.tls else None
        )

    @property
    def name(self) -> str:
        """Name in config.yaml."""
        return self._settings.name

    def send(self, objects: Sequence[EncodedObject]) -> Mapping[str, int | None]:
        """POST the objects in one request; see `ports.Destination`.

        Nothing is negotiated over HTTP: of each slot the first form goes, and the next one when that is refused. A
        service that refuses a whole request without saying what for gets each object alone, because one kind that it
        does not know must not keep the others out.
        """
        chosen, _ = choose_forms(objects)
        statuses, is_whole = self._send_together(chosen)
        if not is_whole or len(chosen) < 2:
            return statuses
        return {uid: status for item in chosen for uid, status in self._send_together([item])[0].items()}

    def _send_together(self, objects: Sequence[EncodedObject]) -> tuple[Mapping[str, int | None], bool]:
        """POST the objects; return their statuses, and whether all were refused without a word on any."""
        statuses: dict[str, int | None] = {item.sop_instance_uid: None for item in objects}
        if not objects:
            return statuses, False
        reply = self._post(objects)
        if reply.status in BUSY:
            return dict.fromkeys(statuses, OUT_OF_RESOURCES), False
        if reply.status in REFUSED:
            named = _named(reply, statuses)
            return {**dict.fromkeys(statuses, CANNOT_UNDERSTAND), **named}, not named
        if reply.status not in ANSWERED:
            raise self._unexpected(reply.status)
        try:
            return {**statuses, **_read_statuses(reply, statuses)}, False
        except StoreResponseError as error:
            raise self._unreachable(
                f"answered HTTP {reply.status} with what is no Store Instances Response ({error}), so that nothing is "
                "known to be stored; check that 'url' is a STOW-RS service"
            ) from error

    def interrupt(self) -> None:
        """Break every request; see `ports.Destination`."""
        self._open.interrupt()

    def echo(self) -> None:
        """Ask for what is not there; raises DestinationUnreachableError with what went wrong and what to check."""
        reply = self._ask("GET", f"/studies?StudyInstanceUID={NO_STUDY}&limit=1")
        if reply.status in NO_SEARCH:
            reply = self._ask("OPTIONS", "/studies")
        if not 200 <= reply.status < 300:
            raise self._unexpected(reply.status)

    def find_stored(self, study_instance_uid: str, references: Sequence[ObjectReference]) -> frozenset[str]:
        """Search for the instances of a study (QIDO-RS, PS3.18 10.6); return those of the references that are there."""
        reply = self._ask("GET", f"/studies/{study_instance_uid}/instances")
        if reply.status == HTTPStatus.NO_CONTENT:
            return frozenset()
        if reply.status != HTTPStatus.OK:
            raise self._unexpected(reply.status)
        try:
            found = {str(item["00080018"]["Value"][0]) for item in json.loads(reply.body)}
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise self._unreachable(f"answered a search with what is no DICOM JSON ({type(error).__name__})") from error
        return frozenset(found & {reference.sop_instance_uid for reference in references})

    def _post(self, objects: Sequence[EncodedObject]) -> _Reply:
        form = _Form(objects)
        total = 2 * self._settings.timeout_seconds + form.size_bytes / SLOWEST_BYTES_PER_SECOND
        with self._connection(total) as (connection, watch):
            self._begin(connection, "POST", "/studies", form.headers)
            # A service that refuses may answer and close before it has read everything: its answer is what counts.
            with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
                for piece in form:
                    connection.send(piece)
                    watch.progress()
            return _read_reply(connection)

    def _ask(self, method: str, target: str) -> _Reply:
        with self._connection(self._settings.timeout_seconds) as (connection, _watch):
            self._begin(connection, method, target, {})
            return _read_reply(connection)

    @contextmanager
    def _connection(self, total_seconds: float) -> Iterator[tuple[http.client.HTTPConnection, Deadline]]:
        patience = self._settings.timeout_seconds
        connection = self._make_connection()
        opened: list[socket.socket] = []  # http.client forgets its socket before it reads an answer that is the last
        try:
            with deadline(patience, lambda: (opened or [connection.sock])[0], total_seconds=total_seconds) as watch:
                connection.connect()
                opened.append(connection.sock)
                opened[0] = connection.sock = self._secure(connection.sock)
                with self._open.holding(opened[0]):
                    yield connection, watch
        except TlsError as error:
            raise self._unreachable(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(
                f"did not answer: {type(error).__name__}: {error}; check 'url' and that it runs"
            ) from error
        finally:
            connection.close()

    def _make_connection(self) -> http.client.HTTPConnection:
        port = self._url.port or PORTS[self._url.scheme]
        return http.client.HTTPConnection(
            self._host, port, timeout=min(self._settings.timeout_seconds, CONNECT_SECONDS)
        )

    def _secure(self, connection: socket.socket) -> socket.socket:
        """Return the connection over TLS where the URL says so; without `tls`, the system's authorities vouch."""
        if self._url.scheme != "https":
            return connection
        seconds = self._settings.timeout_seconds
        if self._tls is None:
            return ssl.create_default_context().wrap_socket(connection, server_hostname=self._host)
        secured = self._tls.connect(connection, seconds=seconds)
        secured.settimeout(seconds)
        return secured

    def _begin(
        self, connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str]
    ) -> None:
        connection.putrequest(method, self._url.path.rstrip("/") + target, skip_accept_encoding=True)
        for name, value in {**self._headers(), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": JSON_TYPE, "User-Agent": "dokuei", "Connection": "close"}
        try:
            return {**headers, **authorization(self._settings.token_file)}
        except TokenFileError as error:
            raise self._unreachable(str(error)) from error

    def _unexpected(self, status: int) -> DestinationUnreachableError:
        remedy = REMEDIES.get(status, "its log says why")
        if 300 <= status < 400:
            remedy = "redirects are not followed; give the final address in 'url'"
        return self._unreachable(f"answered HTTP {status}; {remedy}")

    def _unreachable(self, what: str) -> DestinationUnreachableError:
        return DestinationUnreachableError(f"destination '{self.name}' ({self._settings.url}) {what}")


class _Form:
    """The body of a request: the files as they are, in small pieces."""

    def __init__(self, objects: Sequence[EncodedObject]) -> None:
        boundary = f"dokuei-{uuid4().hex}"
        self._paths = [item.path for item in objects]
        self._head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._tail = f"--{boundary}--\r\n".encode()
        overhead = len(self._paths) * (len(self._head) + len(NEW_LINE)) + len(self._tail)
        self.size_bytes = sum(path.stat().st_size for path in self._paths) + overhead
        self.headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary="{boundary}"',
            "Content-Length": str(self.size_bytes),
        }

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body."""
        for path in self._paths:
            yield self._head
            with path.open("rb") as stream:
                while piece := stream.read(CHUNK_BYTES):
                    yield piece
            yield NEW_LINE
        yield self._tail


def _read_reply(connection: http.client.HTTPConnection) -> _Reply:
    answer = connection.getresponse()
    body = answer.read(MAX_ANSWER_BYTES)
    if answer.length:  # it broke off, or is too long
        raise http.client.IncompleteRead(body, answer.length)
    return _Reply(status=answer.status, body=body)


def _read_statuses(reply: _Reply, asked: Collection[str]) -> dict[str, int]:
    instances = read_store_response(reply.body)
    return {item.sop_instance_uid: item.status for item in instances if item.sop_instance_uid in asked}


def _named(reply: _Reply, asked: Collection[str]) -> dict[str, int]:
    """Return what a refusal says of single objects: Orthanc stores the good ones of a bad request, and says so."""
    with suppress(StoreResponseError):
        return _read_statuses(reply, asked)
    return {}
