# SPDX-License-Identifier: Apache-2.0
"""Tables of what the node says and takes over DICOMweb (PS3.18)."""

import re
from collections.abc import Mapping
from dataclasses import fields
from http import HTTPStatus
from inspect import getsource
from types import MappingProxyType

from service.transport.dicomweb import client, reception, stow
from service.transport.dicomweb.conversation import WebLimits
from service.transport.dicomweb.store_response import TRANSFER_SYNTAX_NOT_SUPPORTED
from service.transport.statuses import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
    STORE_STATUS,
    SUCCESS,
)
from tests.conformance.generated import explained, hexadecimal, joined, table

S = HTTPStatus
HEADER_TOO_LONG = 431
"""Given by h11, which has no name for it in the modules that are looked through."""

STATUSES: Mapping[int, str] = MappingProxyType(
    {
        S.OK: "every instance is stored; to OPTIONS: what is offered | nothing",
        S.ACCEPTED: "some are stored; FailedSOPSequence and OtherFailuresSequence say which are not "
        "| see the failure reasons",
        S.BAD_REQUEST: "no multipart body, or nothing of it could be stored before it broke its form "
        "| correct the request",
        S.UNAUTHORIZED: "no such token or certificate here | configure the peer",
        S.FORBIDDEN: "an address of no peer that may store | configure the peer",
        S.NOT_FOUND: "another resource | correct the URL",
        S.METHOD_NOT_ALLOWED: "another method | correct the request",
        S.NOT_ACCEPTABLE: "another answer is asked for than DICOM JSON | correct the Accept header",
        S.CONFLICT: "no instance is stored | see the failure reasons",
        S.REQUEST_ENTITY_TOO_LARGE: "a part or the number of parts is over the limit; what came before is in the body "
        "| send in smaller requests",
        S.UNSUPPORTED_MEDIA_TYPE: "another body than multipart/related of application/dicom, or a Content-Encoding "
        "| correct the headers",
        HEADER_TOO_LONG: "the header is too long | correct the request",
        S.SERVICE_UNAVAILABLE: "no instance is stored, for want of space; or the node is stopping "
        "| send again after Retry-After",
    }
)


def stow_statuses() -> str:
    """Return the HTTP statuses with which a request to store is answered."""
    named = {
        S[match] for module in (stow, reception) for match in re.findall(r"HTTPStatus\.([A-Z_]+)", getsource(module))
    }
    given = sorted({*map(int, named), HEADER_TOO_LONG})
    rows = explained({int(key): text for key, text in STATUSES.items()}, given, what="STOW-RS statuses")
    return table(
        ("HTTP status", "Meaning", "What the sender should do"),
        [(str(status), *text.split(" | ")) for status, text in rows],
    )


FAILURES: Mapping[int, str] = MappingProxyType(
    {
        PROCESSING_FAILURE: "an unforeseen failure; it is in the log",
        SOP_CLASS_NOT_SUPPORTED: "the SOP class is not accepted",
        0x0124: "one of Dokuei's own results",
        OUT_OF_RESOURCES: "out of resources: send again later",
        0xA900: "SOP class, instance or study differ: data set from file meta information, or from the URL's study",
        CANNOT_UNDERSTAND: "the part cannot be understood, or did not come whole",
        TRANSFER_SYNTAX_NOT_SUPPORTED: "the transfer syntax is not accepted",
    }
)


def stow_failures() -> str:
    """Return the failure reasons of single instances."""
    given = {*STORE_STATUS.values(), PROCESSING_FAILURE, SOP_CLASS_NOT_SUPPORTED, TRANSFER_SYNTAX_NOT_SUPPORTED} - {
        SUCCESS
    }
    rows = explained(FAILURES, sorted(given), what="STOW-RS failure reasons")
    return table(("Failure Reason (0008,1197)", "Meaning"), [(hexadecimal(reason), text) for reason, text in rows])


def stow_answers() -> str:
    """Return what the node, as user agent, makes of an answer."""
    answered, busy, refused = (_numbers(group) for group in (client.ANSWERED, client.BUSY, client.REFUSED))
    named = _numbers(client.ANSWERED | client.REFUSED)
    rows = [
        (f"named in ReferencedSOPSequence ({named})", "0x0000, or the warning reason"),
        (f"named in FailedSOPSequence ({named})", "the failure reason, 0x0110 where it has none"),
        (f"not named, in {answered}", "no answer: sent again"),
        (busy, f"{hexadecimal(OUT_OF_RESOURCES)}: sent again later"),
        (
            f"{refused}, without a word on single instances",
            f"each object is sent alone; then {hexadecimal(CANNOT_UNDERSTAND)}: tried three times, then held",
        ),
        ("anything else, and a success without a Store Instances Response", "unreachable: sent again later"),
    ]
    return table(("Answer", "Taken as"), rows)


def _numbers(statuses: frozenset[HTTPStatus]) -> str:
    return joined(sorted(map(int, statuses)))


LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "connections": "connections",
        "connections_per_address": "connections from one address",
        "header_bytes": "header of a request, bytes",
        "header_seconds": "time for a header, seconds",
        "keep_alive_seconds": "silence between requests, seconds",
        "idle_seconds": "silence within a request, seconds",
        "grace_seconds": "time after which the average rate of a body is looked at, seconds",
        "slowest_bytes_per_second": "slowest average rate of a body, bytes per second",
        "answer_seconds": "time for taking the answer, seconds",
        "object_bytes": "largest part, bytes",
        "parts": "parts of a request",
    }
)


def limits() -> str:
    """Return what one client may cost, with the default configuration."""
    values = WebLimits()
    rows = explained(LIMITS, [field.name for field in fields(WebLimits)], what="WebLimits")
    return table(("Limit", "Value"), [(text, f"{getattr(values, key):,}".replace(",", " ")) for key, text in rows])
