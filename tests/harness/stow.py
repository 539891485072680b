# SPDX-License-Identifier: Apache-2.0
"""A STOW-RS server of ours on a real store and ledger, and a client that sends whatever a test wants."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fakes import FakeAnalyst, Recorder, SystemClock
from node import SETTINGS
from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES
from service.domain.study import study_key
from service.settings import DicomwebSettings, PeerSettings, TlsServerSettings
from service.storage import FileStore, SqlLedger, create_database, migrate, open_folder
from service.transport.dicomweb.conversation import WebLimits
from service.transport.dicomweb.server import StowServer
from service.transport.tls import TlsServer
from service.workflow import FlowParts, StoreInstance

TOKEN = "0123456789abcdef" * 2
BOUNDARY = "dokuei-test"
CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'


class StowNode:
    """The server with the real receiver behind it; one peer, "gateway", on loopback."""

    def __init__(
        self,
        root: Path,
        *,
        limits: WebLimits | None = None,
        peer: dict[str, Any] | None = None,
        receiver: Any = None,
        tls: TlsServerSettings | None = None,
        reserve_bytes: int = 0,
    ) -> None:
        self.token_file = root / "token"
        self.token_file.write_text(f"{TOKEN}\n")
        self.token_file.chmod(0o600)
        self.folder = open_folder(root / "data")
        self.database = create_database(self.folder.root)
        migrate(self.database)
        self.observer = Recorder()
        self.receive = StoreInstance(self._parts(reserve_bytes))
        entry = {"name": "gateway", "address": "127.0.0.0/8", "token_file": self.token_file, **(peer or {})}
        settings = DicomwebSettings(port=1)
        self.server = StowServer(
            settings.model_copy(update={"port": 0}),
            peers=[PeerSettings.model_validate(entry)],
            receiver=receiver or self.receive,
            observer=self.observer,
            transfer_syntaxes=SUPPORTED_TRANSFER_SYNTAXES,
            tls=TlsServer(tls, observer=self.observer) if tls else None,
            limits=limits,
        )
        self.server.start()

    def _parts(self, reserve_bytes: int) -> FlowParts:
        return FlowParts(
            settings=SETTINGS,
            clock=SystemClock(),
            observer=self.observer,
            ledger=SqlLedger(self.database, root=self.folder.root, enqueue=lambda _connection, _task: None),
            store=FileStore(self.folder, reserve_bytes=reserve_bytes),
            analyst=FakeAnalyst(),
            pipelines={},
            packages={},
            destinations={},
            notifiers={},
            study_key=partial(study_key, site_key=b"k"),
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/dicom-web"

    def stored(self) -> dict[str, Path]:
        """The files of the instances in the ledger by SOP Instance UID."""
        with self.database.connect() as connection:
            rows = connection.execute(sa.text("select sop_instance_uid, path from instance")).all()
        return {uid: self.folder.root / path for uid, path in rows}

    def leftovers(self) -> list[Path]:
        """What lies in the folder of unfinished files."""
        return list(self.folder.incoming.iterdir())

    def stop(self) -> None:
        self.server.drain(5)
        self.database.dispose()


@dataclass(frozen=True)
class Reply:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def module(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def items(self, tag: str) -> list[dict[str, Any]]:
        """Items of a sequence of the module as {tag: first value}."""
        values = self.module.get(tag, {}).get("Value", [])
        return [{key: element["Value"][0] for key, element in item.items() if "Value" in element} for item in values]

    @property
    def stored(self) -> list[str]:
        return [item["00081155"] for item in self.items("00081199")]

    @property
    def failed(self) -> dict[str, int]:
        return {item["00081155"]: item["00081197"] for item in self.items("00081198")}

    @property
    def others(self) -> list[int]:
        return [item["00081197"] for item in self.items("0008119A")]


def multipart(
    parts: Iterable[bytes], *, boundary: str = BOUNDARY, headers: str = "Content-Type: application/dicom"
) -> bytes:
    """A multipart/related body."""
    head = f"--{boundary}\r\n{headers}\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


def post(
    port: int,
    body: bytes | Iterable[bytes],
    *,
    path: str = "/dicom-web/studies",
    method: str = "POST",
    tls: ssl.SSLContext | None = None,
    chunked: bool = False,
    **headers: str | None,
) -> Reply:
    """Send one request; `headers` replace the usual ones, with "_" for "-", None takes one away."""
    usual = {"Content-Type": CONTENT_TYPE, "Authorization": f"Bearer {TOKEN}", "Accept": "application/dicom+json"}
    wanted = {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=tls)
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    )
    try:
        sent = {name: value for name, value in wanted.items() if value is not None}
        connection.request(method, path, body, sent, encode_chunked=chunked)
        answer = connection.getresponse()
        return Reply(answer.status, {name.title(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def request_head(length: int, *extra: str) -> bytes:
    """The head of a valid request, for tests that break it."""
    lines: Sequence[str] = (
        "POST /dicom-web/studies HTTP/1.1",
        "Host: node",
        f"Authorization: Bearer {TOKEN}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {length}",
        *extra,
    )
    return "\r\n".join((*lines, "", "")).encode()


def open_socket(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    while data := connection.recv(65_536):
        received += data
    return received
