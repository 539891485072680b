# SPDX-License-Identifier: Apache-2.0
"""Tables of the application entity: what it offers, to whom, within which limits, and whom it rejects."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType

from pydicom.uid import UID

from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES, TRANSFER_SYNTAXES
from service.domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.results.overlay.segmentation import LABEL_MAP_SEGMENTATION_STORAGE
from service.settings import NodeSettings, TlsServerSettings
from service.transport import commitment, negotiation, pdu, store_scp
from service.transport.admission import needed_permission
from service.transport.connection import Limits
from service.transport.negotiation import APPLICATION_CONTEXT, rejection_text
from service.transport.requestor import OUR_PDU_BYTES
from service.transport.sop_classes import (
    INPUT_SOP_CLASSES,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_MOVE,
    UNCOMPRESSED,
    VERIFICATION,
    accepted_contexts,
)
from service.transport.statuses import REJECTION, Rejection
from service.transport.store_scp import UNSUPPORTED_APPLICATION_CONTEXT, UNSUPPORTED_VERSION
from tests.conformance.generated import explained, joined, table

YOUNGER_THAN_PYDICOM: Mapping[str, str] = MappingProxyType(
    {LABEL_MAP_SEGMENTATION_STORAGE: "Label Map Segmentation Storage"}
)


def name(uid: str) -> str:
    """Return the standard's name of a UID."""
    return YOUNGER_THAN_PYDICOM.get(uid, UID(uid).name)


def application_entity() -> str:
    """Return what an association of either direction says of the node itself."""
    node = NodeSettings()
    rows = [
        ("Application context name", APPLICATION_CONTEXT),
        ("Implementation class UID", IMPLEMENTATION_CLASS_UID),
        ("Implementation version name", IMPLEMENTATION_VERSION_NAME),
        ("AE title (default)", node.ae_title),
        ("Port (default)", str(node.port)),
        ("Maximum PDU length received, as acceptor (default)", f"{node.max_pdu_bytes} bytes"),
        ("Maximum PDU length received, as requestor", f"{OUR_PDU_BYTES} bytes"),
        ("Associations accepted at a time (default)", str(node.max_associations)),
        ("Associations requested at a time", "one for each destination and kind of work"),
        ("Outstanding operations on an association", "1; the asynchronous operations window is not negotiated"),
    ]
    return table(("Item", "Value"), rows)


LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "pdu_bytes": "one P-DATA-TF | bytes | A-ABORT",
        "pdu_seconds": "one PDU from first to last byte; between PDUs of one message | s | A-ABORT",
        "negotiation_seconds": "A-ASSOCIATE-RQ after connecting | s | closed",
        "idle_seconds": "silence between messages (`node.idle_seconds`) | s | A-ABORT",
        "object_bytes": "one object | bytes | A-ABORT",
        "slowest_bytes_per_second": "slowest average rate of an object that has taken a while | bytes/s | A-ABORT",
        "grace_seconds": "that while | s | ",
        "connections": "connections from addresses of peers (64, or twice `node.max_associations`) | | closed",
        "connections_per_address": "of these, from one address | | closed",
        "strangers": "connections from all other addresses together | | closed",
    }
)


def limits() -> str:
    """Return what one peer may cost, with the default configuration."""
    values = store_scp._limits(NodeSettings())
    own = explained(LIMITS, [field.name for field in fields(Limits)], what="Limits")
    rows = [(text, getattr(values, key)) for key, text in own]
    rows += [
        ("TLS handshake (`node.tls.handshake_seconds`) | s | closed", HANDSHAKE.default),
        ("A-ASSOCIATE-RQ | bytes | closed", pdu.NEGOTIATION_PDU_BYTES),
        ("presentation contexts of an A-ASSOCIATE-RQ | | closed", negotiation.MAX_CONTEXTS),
        ("transfer syntaxes of a presentation context | | closed", negotiation.MAX_SYNTAXES),
        ("user information items | | closed", negotiation.MAX_USER_ITEMS),
        ("command set | bytes | A-ABORT", pdu.COMMAND_BYTES),
        ("data set of a storage commitment request or report | bytes | 0x0115", commitment.DATA_SET_BYTES),
    ]
    return table(("Limit", "Value", "When it is passed"), [_limit(text, value) for text, value in rows])


HANDSHAKE = TlsServerSettings.model_fields["handshake_seconds"]


def _limit(text: str, value: float) -> Sequence[str]:
    what, unit, then = (part.strip() for part in text.split("|"))
    return what, f"{value:,.0f} {unit}".replace(",", " ").strip(), then


def sop_classes() -> str:
    """Return the SOP classes that are taken in."""
    return table(("SOP class", "UID"), [(name(uid), uid) for uid in INPUT_SOP_CLASSES])


def transfer_syntaxes() -> str:
    """Return the transfer syntaxes that are taken in, each with its one decoder."""
    rows = [(name(uid), uid, codec.plugin or "native") for uid, codec in TRANSFER_SYNTAXES.items()]
    return table(("Transfer syntax", "UID", "Decoder"), rows)


def accepted_presentation_contexts() -> str:
    """Return the presentation contexts that are accepted, in whichever role."""
    contexts = accepted_contexts(INPUT_SOP_CLASSES, SUPPORTED_TRANSFER_SYNTAXES, commitment=True)
    return table(
        ("Abstract syntax", "UID", "Transfer syntaxes, preferred first", "Role", "A peer needs, in `may`"),
        [
            (
                name(str(context.abstract_syntax)),
                str(context.abstract_syntax),
                _syntaxes([str(uid) for uid in context.transfer_syntax]),
                "SCP, and SCU by role selection" if context.scu_role else "SCP",
                str(needed_permission(str(context.abstract_syntax)) or "nothing"),
            )
            for context in contexts
        ],
    )


def _syntaxes(uids: Sequence[str]) -> str:
    if set(uids) == set(SUPPORTED_TRANSFER_SYNTAXES):
        return f"{name(uids[0])}, then the others of the table of transfer syntaxes"
    return joined(map(name, uids))


REJECTIONS: Mapping[Rejection, str] = MappingProxyType(
    {
        Rejection.CALLED_AE: "the called AE title is not the node's",
        Rejection.CALLING_AE: "no peer has this calling AE title",
        Rejection.ADDRESS: "a peer has this AE title, but not this address",
        Rejection.CERTIFICATE: "a peer has this AE title and address, but not this certificate",
        Rejection.DRAINING: "the node is stopping",
        Rejection.TOO_MANY: "there are as many associations as may be",
    }
)
RESULTS = {1: "rejected permanent", 2: "rejected transient"}
SOURCES = {1: "service user", 2: "service provider (ACSE)", 3: "service provider (presentation)"}


def rejections() -> str:
    """Return when an association is rejected, and how."""
    said = [(text, REJECTION[reason]) for reason, text in explained(REJECTIONS, list(REJECTION), what="rejections")]
    said += [
        ("the protocol version is not 1", UNSUPPORTED_VERSION),
        ("the application context is another", UNSUPPORTED_APPLICATION_CONTEXT),
    ]
    return table(
        ("Situation", "Result", "Source", "Reason"),
        [
            (
                text,
                f"{code[0]}, {RESULTS[code[0]]}",
                f"{code[1]}, {SOURCES[code[1]]}",
                f"{code[2]}, {rejection_text(code)}",
            )
            for text, code in said
        ],
    )


def services() -> str:
    """Return the network services and the roles in which they are offered."""
    taken = {
        str(context.abstract_syntax): context
        for context in accepted_contexts(INPUT_SOP_CLASSES, UNCOMPRESSED, commitment=True)
    }
    rows = [
        (
            "Verification (C-ECHO)",
            "yes",
            _mark(VERIFICATION in taken),
            "`dokuei doctor`; a destination that was not there",
        ),
        (
            "Storage (C-STORE), images",
            "no",
            _mark(set(INPUT_SOP_CLASSES) <= set(taken)),
            "studies from the configured peers",
        ),
        ("Storage (C-STORE), results", "yes", "no", "to the configured destinations"),
        (
            "Storage Commitment Push Model (N-ACTION, N-EVENT-REPORT)",
            "yes",
            _mark(STORAGE_COMMITMENT in taken),
            "SCU: destinations with `commitment: request`; SCP: peers with `commitment_port`",
        ),
        (
            "Query/Retrieve, Study Root FIND",
            "yes",
            _mark(STUDY_ROOT_FIND in taken),
            "a storage commitment report that did not come; older studies, with `priors`",
        ),
        ("Query/Retrieve, Study Root MOVE", "yes", _mark(STUDY_ROOT_MOVE in taken), "older studies, with `priors`"),
        ("Query/Retrieve, GET", "no", "no", ""),
        ("Modality Worklist, Performed Procedure Step, Unified Procedure Step", "no", "no", ""),
        ("Print", "no", "no", ""),
    ]
    return table(("Service", "SCU", "SCP", "When"), rows)


def _mark(is_offered: bool) -> str:
    return "yes" if is_offered else "no"
