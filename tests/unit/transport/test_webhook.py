# SPDX-License-Identifier: Apache-2.0
"""Webhooks against a real HTTP server."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service.domain.errors import DeliveryError
from service.domain.result import Priority
from service.ports import Notification
from service.settings import WebhookSettings
from service.transport.webhook import Webhook

NOTIFICATION = Notification(
    study_instance_uid="1.2.3",
    accession_number="A1",
    patient_id="P1",
    pipeline="mammography",
    outcome="findings",
    priority=Priority.URGENT,
    headline="Mass, left",
    package="mammography-demo 0.2.0",
    demonstration=True,
)


class Ris(HTTPServer):
    """Remembers what it was told and answers as the test says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RisRequest)
        self.status = 204
        self.pause_seconds = 0.0
        self.told: list[tuple[str, dict[str, str], dict]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook?site=1"


class RisRequest(BaseHTTPRequestHandler):
    server: Ris

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.append((self.path, dict(self.headers), body))
        time.sleep(self.server.pause_seconds)
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def ris() -> Iterator[Ris]:
    ris = Ris()
    thread = threading.Thread(target=ris.serve_forever, args=(0.05,))
    thread.start()
    yield ris
    ris.shutdown()
    thread.join()
    ris.server_close()


def webhook(url: str, *, token_file: Path | None = None, timeout_seconds: float = 5) -> Webhook:
    return Webhook(WebhookSettings(name="ris", url=url, token_file=token_file, timeout_seconds=timeout_seconds))


def test_posts_the_notification_as_json(ris: Ris) -> None:
    webhook(ris.url).notify(NOTIFICATION)
    [(path, headers, body)] = ris.told
    assert path == "/hook?site=1"
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert "Authorization" not in headers
    assert body["priority"] == "urgent"
    assert body["study_instance_uid"] == "1.2.3"
    assert body["demonstration"] is True


def test_a_repetition_carries_the_same_key(ris: Ris) -> None:
    webhook(ris.url).notify(NOTIFICATION)
    webhook(ris.url).notify(NOTIFICATION)
    keys = {headers["Idempotency-Key"] for _path, headers, _body in ris.told}
    assert len(ris.told) == 2
    assert len(keys) == 1


def test_the_token_comes_from_its_file(ris: Ris, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    webhook(ris.url, token_file=token).notify(NOTIFICATION)
    assert ris.told[0][1]["Authorization"] == "Bearer s3cret"


def test_a_missing_token_is_an_error_that_names_the_file(ris: Ris, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="token_file"):
        webhook(ris.url, token_file=tmp_path / "absent").notify(NOTIFICATION)
    assert ris.told == []


@pytest.mark.parametrize("status", [302, 404, 500])
def test_anything_but_2xx_is_a_failure_and_redirects_are_not_followed(ris: Ris, status: int) -> None:
    ris.status = status
    with pytest.raises(DeliveryError, match=f"answered {status}") as caught:
        webhook(ris.url).notify(NOTIFICATION)
    assert caught.value.retryable
    assert len(ris.told) == 1


def test_gives_up_on_a_server_that_does_not_answer(ris: Ris) -> None:
    ris.pause_seconds = 2
    started = time.monotonic()
    with pytest.raises(DeliveryError, match="could not be reached"):
        webhook(ris.url, timeout_seconds=0.5).notify(NOTIFICATION)
    assert time.monotonic() - started < 1.9


def test_a_refused_connection_is_a_failure() -> None:
    with pytest.raises(DeliveryError, match="webhook 'ris'"):
        webhook("http://127.0.0.1:1/").notify(NOTIFICATION)


def test_https_is_verified_by_default(ris: Ris) -> None:
    hook = webhook("https://127.0.0.1/")
    assert hook._tls.verify_mode == ssl.CERT_REQUIRED
    assert hook._tls.check_hostname
    with pytest.raises(DeliveryError, match="could not be reached"):
        webhook(ris.url.replace("http:", "https:"), timeout_seconds=1).notify(NOTIFICATION)
