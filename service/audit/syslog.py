# SPDX-License-Identifier: Apache-2.0
"""Syslog messages (RFC 5424) with audit messages in them, framed for a TLS stream (RFC 5425 section 4.3)."""

import re

from service.audit.xml import timestamp
from service.domain.audit import AuditEntry

FACILITY = 10
"""Security and authorization messages (PS3.15 A.6)."""
MESSAGE_ID = "DICOM+RFC3881"
"""MSGID by PS3.15 A.6."""
APPLICATION = "dokuei"
MAX_SEQUENCE = 2_147_483_647
"""RFC 5424 section 7.3.1."""
NOT_PRINTABLE = re.compile("[^\x21-\x7e]")


def frame(entry: AuditEntry, *, host: str, process_id: str) -> bytes:
    """Return the message as it goes over the wire: its length in octets, a space, the syslog message.

    `sequenceId` is the number of the message in our buffer: a collector that was given a message twice, because the
    connection broke before we could know, finds the second by it.
    """
    priority = FACILITY * 8 + entry.severity
    sequence = (entry.id - 1) % MAX_SEQUENCE + 1
    header = " ".join(
        (
            f"<{priority}>1",
            timestamp(entry.at),
            _word(host, 255),
            APPLICATION,
            _word(process_id, 128),
            MESSAGE_ID,
            f'[meta sequenceId="{sequence}"]',
        )
    )
    message = f"{header} \ufeff{entry.text}".encode()
    return b"%d %b" % (len(message), message)


def _word(text: str, longest: int) -> str:
    return NOT_PRINTABLE.sub("", text)[:longest] or "-"
