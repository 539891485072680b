# SPDX-License-Identifier: Apache-2.0
"""The vendored advisories (OSV format), and a server on loopback that answers about them as OSV's own API does."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

ECOSYSTEM = "PyPI"


def read_advisories(folder: Path) -> list[dict[str, Any]]:
    """Return every advisory of a folder, sorted by id."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def affecting(advisories: Sequence[dict[str, Any]], name: str, version: str) -> list[dict[str, Any]]:
    """Return the advisories that concern a version of a distribution."""
    return [entry for entry in advisories if any(_affects(part, name, version) for part in entry["affected"])]


def _affects(part: dict[str, Any], name: str, version: str) -> bool:
    package = part["package"]
    if package["ecosystem"] != ECOSYSTEM or canonicalize_name(package["name"]) != canonicalize_name(name):
        return False
    if version in part.get("versions", ()):
        return True
    ranges = (entry for entry in part.get("ranges", ()) if entry["type"] == "ECOSYSTEM")
    return any(_within(entry["events"], Version(version)) for entry in ranges)


def _within(events: Sequence[dict[str, str]], version: Version) -> bool:
    """Whether the last event up to the version leaves it affected (OSV schema, evaluation of ranges)."""
    affected = False
    for event in events:
        ((kind, text),) = event.items()
        reached = text == "0" or version >= Version(text)
        if kind == "introduced" and reached:
            affected = True
        elif (kind == "fixed" and reached) or (kind == "last_affected" and version > Version(text)):
            affected = False
    return affected


@contextmanager
def serving(advisories: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Answer queries on loopback; the value is the URL for pip-audit's --osv-url."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = affecting(advisories, query["package"]["name"], query["version"])
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        server.shutdown()
