# SPDX-License-Identifier: Apache-2.0
"""Tables for those who ask about security: ports, ciphers, audit events, what is kept, secrets, components."""

import re
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from service.audit import messages
from service.audit.messages import AlertType, Reporter
from service.bootstrap.secret_files import SECRET_KEYS
from service.settings import AuditSettings, HttpSettings, NodeSettings, QuarantineSettings, Settings, TlsServerSettings
from service.storage.folder import DataFolder
from service.transport.certificates import KEY_MODE
from service.transport.tls import CIPHERS, VERSIONS
from service.web.passwords import FILE_MODE
from tests.conformance.generated import explained, joined, table

ROOT = Path(__file__).parents[2]


CLOSED = "closed unless configured"


def ports() -> str:
    """Return who listens where and who is called, with the default configuration."""
    node, http, audit = NodeSettings(), HttpSettings(), AuditSettings.model_fields
    tls = TlsServerSettings.model_fields
    rows = [
        ("in", f"{node.port}/tcp", "`node.port`", f"DICOM, on {node.host}", "open unless null"),
        ("in", f"{tls['port'].default}/tcp", "`node.tls.port`", "DICOM over TLS", CLOSED),
        (
            "in",
            f"{http.port}/tcp",
            "`http.port`",
            f"metrics, health, and the status page where it is on, over HTTP, on {http.host}",
            "open",
        ),
        ("in", "chosen", "`http.tls.port`", "the same, and the status page with identity, over TLS", CLOSED),
        ("in", "chosen", "`dicomweb.port`, `dicomweb.tls.port`", "STOW-RS", CLOSED),
        ("out", "the destination's", "`destinations`", "DICOM, DICOM over TLS, or HTTPS (STOW-RS)", "named ones alone"),
        ("out", "the peer's", "`peers[].commitment_port`", "storage commitment reports", CLOSED),
        (
            "out",
            f"{audit['port'].default}/tcp",
            "`audit`",
            "audit messages, syslog over TLS",
            CLOSED,
        ),
        ("out", "the URL's", "`webhooks`", "raised priorities, HTTP or HTTPS", CLOSED),
        ("out", "the URL's", "`traces`", "spans that name no patient, HTTP or HTTPS", CLOSED),
        ("out", "the URL's", "`storage.database_url`", "PostgreSQL", CLOSED),
    ]
    return table(("Direction", "Port", "Key", "What", "By default"), rows)


def ciphers() -> str:
    """Return the protocol versions and suites that the node's own TLS contexts offer, by name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(CIPHERS)
    suites = [(suite["protocol"], suite["name"]) for suite in context.get_ciphers()]
    named = {version: sorted(name for protocol, name in suites if protocol == f"TLSv{version}") for version in VERSIONS}
    rows = [(f"TLS {version}", joined(names)) for version, names in named.items()]
    return table(("Protocol", "Suites"), rows)


EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "activity": "the node starts or stops",
        "begin_sending": "before result objects are first offered to a destination",
        "received": "a study's revision closes: the instances that are new, per peer and patient",
        "sent": "a destination has taken result objects, or refused them for good",
        "exported": "a notifier was told of a study",
        "alert": "the alerts below",
        "log_used": "a person looked at messages that wait",
        "study_deleted": "a study's images were deleted when their time had come (`retention`)",
        "viewed": "a person saw on the status page whose a study is",
        "queried": "an archive is asked for a patient's older studies (`priors`)",
    }
)


NOT_WRITTEN = ("log_used",)
"""Messages for actions that the node does not have; the table fails when somebody begins to write one."""


def audit_events() -> str:
    """Return the audit messages that the node writes."""
    functions = [name for name, value in vars(Reporter).items() if not name.startswith("_") and callable(value)]
    texts = explained(EVENTS, functions, what="audit messages")
    for name in NOT_WRITTEN:
        if _callers(name):
            raise ValueError(f"{_callers(name)} write {name!r}: take it out of NOT_WRITTEN")
    rows = [(_code_of(name), text) for name, text in texts if name not in NOT_WRITTEN]
    rows += [(f"{kind.value.meaning} ({kind.value.value})", "a kind of Security Alert") for kind in AlertType]
    return table(("Event", "When"), rows)


def _code_of(function: str) -> str:
    named = {
        "activity": messages.ACTIVITY,
        "begin_sending": messages.BEGIN,
        "received": messages.TRANSFERRED,
        "sent": messages.TRANSFERRED,
        "exported": messages.EXPORT,
        "alert": messages.ALERT,
        "log_used": messages.LOG_USED,
        "study_deleted": messages.DELETED,
        "viewed": messages.PROCEDURE,
        "queried": messages.QUERY,
    }
    return f"{named[function].meaning} ({named[function].value})"


def _callers(function: str) -> list[str]:
    """The modules beyond the audit trail's own that write such a message."""
    own = {ROOT / "service/audit/messages.py", ROOT / "service/workflow/audit.py"}
    sources = [path for path in (ROOT / "service").rglob("*.py") if path not in own]
    return [path.name for path in sources if f".{function}(" in path.read_text(encoding="utf-8")]


KEPT = "`retention`" if "retention" in Settings.model_fields else "until an operator deletes them"
FOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "instances": f"images as they came | yes | {KEPT}",
        "incoming": "an object on its way in | yes | seconds; what a crash left is deleted at the next start; of "
        "several processes each has a folder of its name here",
        "quarantine": "what was not let in | yes | `quarantine`: {quarantine}",
        "results": f"results, and pictures of them | yes | {KEPT}",
        "unclaimed": "whole files that no row of the ledger names | yes | until an operator deletes them",
    }
)


def kept_data() -> str:
    """Return where data of patients lies, and for how long."""
    limits = QuarantineSettings()
    bounds = f"{limits.max_bytes} bytes, {limits.max_objects} objects, {limits.keep_days:g} days; the oldest goes first"
    known = [name for name, value in vars(DataFolder).items() if isinstance(value, property)]
    rows = []
    for name, text in explained(FOLDERS, known, what="folders"):
        what, identified, time = (cell.strip() for cell in text.format(quarantine=bounds).split("|"))
        rows.append((f"`{name}/`", what, identified, time))
    rows += [
        (
            "ledger (SQLite file, or PostgreSQL)",
            "UIDs, routing attributes, queue, audit messages that wait",
            "yes",
            "as the files",
        ),
        ("log", "events; studies by a keyed hash", "no", "the service manager's own rules"),
        ("`/metrics`", "counts and durations by names of the configuration", "no", "not kept"),
    ]
    return table(("Where", "What", "Names patients", "How long"), rows)


def secrets() -> str:
    """Return the secrets that the node holds, where they lie, and what is demanded of the files."""
    rows = [
        (
            "private keys of TLS",
            "files, PEM without passphrase",
            f"mode {KEY_MODE:04o} at most, or the node does not start",
        ),
        (
            f"tokens and passwords (keys that end in {joined(f'`{key}`' for key in SECRET_KEYS)})",
            "files, read anew at each use",
            f"mode {KEY_MODE:04o} at most, or the node does not start",
        ),
        (
            "hashes of viewers' passwords (`http.viewers.passwords_file`)",
            "a file, salted scrypt, read anew when it changes",
            f"mode {FILE_MODE:04o} at most, or nobody is let in by it",
        ),
        ("key of the study hash (`site.key`)", "data folder", "made by the node, mode 0600"),
    ]
    return table(("Secret", "Where", "Rule"), rows)


def components() -> str:
    """Return the libraries that the node itself needs, with the versions that it is let run with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (*project["dependencies"], *project["optional-dependencies"]["cpu"])
    found = [re.match(r"([A-Za-z0-9_-]+)\s*(.*)", line) for line in lines]
    rows = [(component[1], component[2] or "any") for component in found if component]
    return table(("Component", "Versions"), rows)
