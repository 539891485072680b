# SPDX-License-Identifier: Apache-2.0
"""Tells another system of a raised priority by HTTP POST of a JSON document."""

import hashlib
import http.client
import json
import ssl
from dataclasses import asdict
from urllib.parse import SplitResult, urlsplit

from service.domain.errors import DeliveryError
from service.ports import Notification
from service.settings import WebhookSettings
from service.transport.bearer import TokenFileError, authorization
from service.transport.deadline import deadline


class Webhook:
    """A notifier that posts to one URL.

    The certificate is verified against the system's authorities, and redirects are not followed: the document names
    a patient and goes where the site's configuration says, nowhere else.
    """

    def __init__(self, settings: WebhookSettings, *, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._url = urlsplit(settings.url)
        self._tls = tls or ssl.create_default_context()

    @property
    def name(self) -> str:
        """Name in config.yaml."""
        return self._settings.name

    def notify(self, notification: Notification) -> None:
        """Post the notification; raises DeliveryError unless the answer is 2xx.

        The same notification always carries the same Idempotency-Key, so that a receiver can drop a repetition.
        """
        body = json.dumps(asdict(notification), ensure_ascii=False, sort_keys=True).encode("utf-8")
        try:
            status = self._post(body)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(f"could not be reached: {type(error).__name__}: {error}") from error
        if not 200 <= status < 300:
            raise self._failed(f"answered {status}; it must answer 2xx when it has taken the notification")

    def _post(self, body: bytes) -> int:
        connection = _connection(self._url, self._settings.timeout_seconds, self._tls)
        try:
            # Each read has a timeout too, but a server that drips passes those for ever.
            with deadline(2 * self._settings.timeout_seconds, lambda: connection.sock):
                connection.request("POST", _target(self._url), body, self._headers(body))
                return connection.getresponse().status
        finally:
            connection.close()

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Idempotency-Key": hashlib.sha256(body).hexdigest(),
            "User-Agent": "dokuei",
        }
        try:
            return {**headers, **authorization(self._settings.token_file)}
        except TokenFileError as error:
            raise self._failed(str(error)) from error

    def _failed(self, what: str) -> DeliveryError:
        return DeliveryError(f"webhook '{self.name}' ({self._url.hostname}) {what}")


def _connection(url: SplitResult, timeout_seconds: float, tls: ssl.SSLContext) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "https":
        return http.client.HTTPSConnection(host, url.port, timeout=timeout_seconds, context=tls)
    return http.client.HTTPConnection(host, url.port, timeout=timeout_seconds)


def _target(url: SplitResult) -> str:
    path = url.path or "/"
    return f"{path}?{url.query}" if url.query else path
