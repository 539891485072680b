# SPDX-License-Identifier: Apache-2.0
"""One web origin for viewers: their files, and an archive's DICOMweb and REST interface behind it.

Pages are cross-origin isolated, without which a browser gives them no shared memory, and OHIF draws no segmentation.
"""

import http.client
import threading
from collections.abc import Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FORWARDED = ("/dicom-web/", "/instances/")
"""Paths that the archive answers."""
PASSED_ON = ("Accept", "Content-Type", "Host")
"""Header fields of a request that the archive is given; it writes Host into the URLs of its answers."""


class Origin:
    """Serves files and forwards to an archive until it is stopped.

    `folders` are served under their path prefix, the longest that fits; `pages` are texts by path. Any other path
    without a file name is the index of folder "/": a viewer of one page reads the path itself.
    """

    def __init__(self, archive_port: int, *, folders: Mapping[str, Path], pages: Mapping[str, str]) -> None:
        handler = partial(_Handler, archive_port=archive_port, folders=folders, pages=pages)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(
        self, *arguments: Any, archive_port: int, folders: Mapping[str, Path], pages: Mapping[str, str]
    ) -> None:
        self.archive_port, self.folders, self.pages = archive_port, folders, pages
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in self.pages:
            self._answer(200, "text/javascript" if path.endswith(".js") else "text/html", self.pages[path].encode())
        elif path.startswith(FORWARDED):
            self._forward()
        else:
            super().do_GET()

    def translate_path(self, path: str) -> str:
        path = path.partition("?")[0]
        prefix = max((known for known in self.folders if path.startswith(known)), key=len)
        found = (self.folders[prefix] / path.removeprefix(prefix)).resolve()
        inside = found.is_relative_to(self.folders[prefix].resolve())
        return str(found if inside and found.is_file() else self.folders["/"] / "index.html")

    def _forward(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.archive_port, timeout=60)
        try:
            fields = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            connection.request("GET", self.path, headers=fields)
            answer = connection.getresponse()
            self._answer(answer.status, answer.getheader("Content-Type", "application/octet-stream"), answer.read())
        finally:
            connection.close()

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        for name, value in ISOLATION.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Stay silent: a viewer asks for thousands of things."""
