# SPDX-License-Identifier: Apache-2.0
"""Tables of what the node answers as provider: the statuses of C-STORE, N-ACTION and N-EVENT-REPORT."""

import ast
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType

from service.transport import commitment, statuses
from service.transport.commitment import CommitmentScp
from service.transport.statuses import STORE_STATUS
from service.workflow.promise import CLASS_INSTANCE_CONFLICT, NO_SUCH_OBJECT, PROCESSING_FAILURE
from tests.conformance.generated import explained, hexadecimal, table

C_STORE: Mapping[int, str] = MappingProxyType(
    {
        0x0000: "the instance is on stable storage and in the ledger; also for one that was stored before (identical "
        "bytes), and for other bytes under a known UID, which are kept aside and reported | nothing",
        0x0110: "an unforeseen failure; it is in the log | send again, and tell us",
        0x0124: "one of Dokuei's own results: it would be analysed again | do not forward Dokuei's results to Dokuei",
        0xA700: "out of resources: disk below the reserve, ledger not writable, node stopping | send again later",
        0xA900: "SOP class or instance UID of the data set differ from the command's; kept in the quarantine "
        "| correct the object",
        0xC000: "the data set is missing, is not well formed, or leaves its identity in doubt; kept in the quarantine "
        "| correct the object",
    }
)


def c_store_statuses() -> str:
    """Return the statuses with which a C-STORE is answered."""
    given = sorted({*STORE_STATUS.values(), statuses.PROCESSING_FAILURE})
    rows = [(hexadecimal(status), *_two(text)) for status, text in explained(C_STORE, given, what="C-STORE statuses")]
    return table(("Status", "Meaning", "What the sender should do"), rows)


def _two(text: str) -> tuple[str, str]:
    first, _, second = text.partition(" | ")
    return first, second


N_ACTION: Mapping[int, str] = MappingProxyType(
    {
        0x0000: "the request is on stable storage; the report follows",
        0x0115: "the data set cannot be read, names no instance, or has more than 1 MiB",
        0x0123: "the Action Type ID is not 1",
        0x0124: "the peer has no `commitment_port`, to which the report could go",
        0x0211: "storage commitment is not offered here",
        0x0213: "the ledger cannot be written: ask again later",
    }
)
N_EVENT_REPORT: Mapping[int, str] = MappingProxyType(
    {
        0x0000: "the report is on stable storage; also where nobody had asked for it: the archive could not mend that",
        0x0113: "the Event Type ID is neither 1 nor 2",
        0x0115: "the data set cannot be read",
        0x0211: "storage commitment was not asked for here",
        0x0213: "the ledger cannot be written: report again later",
    }
)


def n_action_statuses() -> str:
    """Return the statuses with which an N-ACTION is answered."""
    return _answers(N_ACTION, CommitmentScp._take_request)


def n_event_report_statuses() -> str:
    """Return the statuses with which an N-EVENT-REPORT is answered."""
    return _answers(N_EVENT_REPORT, CommitmentScp._take_report)


def _answers(texts: Mapping[int, str], handler: Callable[..., int]) -> str:
    given = sorted(_returned(handler))
    return table(
        ("Status", "Meaning"),
        [(hexadecimal(status), text) for status, text in explained(texts, given, what=handler.__name__)],
    )


def _returned(handler: Callable[..., int]) -> set[int]:
    """Return the statuses that a handler returns by name."""
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(handler)))
    returns = (node.value for node in ast.walk(tree) if isinstance(node, ast.Return))
    return {getattr(commitment, value.id) for value in returns if isinstance(value, ast.Name)}


PROMISES: Mapping[int, str] = MappingProxyType(
    {
        PROCESSING_FAILURE: "the file cannot be read, or its digest is not that of what was received",
        NO_SUCH_OBJECT: "no such instance here",
        CLASS_INSTANCE_CONFLICT: "the instance is here under another SOP class",
    }
)


def commitment_failures_given() -> str:
    """Return the failure reasons that the node reports as SCP."""
    return table(
        ("Failure Reason", "Meaning"), [(hexadecimal(reason), text) for reason, text in sorted(PROMISES.items())]
    )
