# SPDX-License-Identifier: Apache-2.0
"""The fixed part of the form that a site hands to the vendor of its PACS, in English and in Japanese."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES
from service.settings import DestinationSettings, HttpSettings, NodeSettings, TlsServerSettings
from service.settings.results import DEFAULT_OBJECTS, Supersession
from service.transport.sop_classes import INPUT_SOP_CLASSES
from tests.conformance.association import name
from tests.conformance.generated import joined, table
from tests.conformance.results import objects

HEADS: Mapping[str, Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "en": {"classes": ("SOP class", "UID"), "node": ("Item", "Dokuei", "Key in config.yaml")},
        "ja": {"classes": ("SOPクラス", "UID"), "node": ("項目", "Dokuei", "config.yaml のキー")},
    }
)
ITEMS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "en": {
            "title": "AE title",
            "port": "DICOM port",
            "tls": "DICOM over TLS, where it is switched on",
            "associations": "associations accepted at a time",
            "requested": "associations requested at a time",
            "pdu": "largest PDU, bytes",
            "proposed": "transfer syntaxes of what it sends",
            "commitment": "asks for storage commitment",
            "supersede": "later result of the same study",
            "retry": "pause between attempts, seconds",
            "timeout": "patience for an answer, seconds",
            "http": "metrics and health (HTTP)",
        },
        "ja": {
            "title": "AEタイトル",
            "port": "DICOMポート",
            "tls": "DICOM over TLS(有効にした場合)",
            "associations": "同時に受け付けるアソシエーション数",
            "requested": "同時に要求するアソシエーション数",
            "pdu": "最大PDU長(バイト)",
            "proposed": "送信時の転送構文",
            "commitment": "ストレージコミットメントの要求",
            "supersede": "同一検査の後続の結果",
            "retry": "再送の間隔(秒)",
            "timeout": "応答を待つ時間(秒)",
            "http": "メトリクスと稼働監視(HTTP)",
        },
    }
)
DESTINATION = DestinationSettings(name="pacs", ae_title="PACS", host="pacs", port=104)


def node(language: str) -> str:
    """Return what the vendor has to know of the node, with its default configuration."""
    own, http, tls = NodeSettings(), HttpSettings(), TlsServerSettings.model_fields["port"].default
    values = {
        "title": (own.ae_title, "node.ae_title"),
        "port": (str(own.port), "node.port"),
        "tls": (f"{tls}, TLS 1.2 / 1.3", "node.tls"),
        "associations": (str(own.max_associations), "node.max_associations"),
        "requested": ("1 / destination" if language == "en" else "送信先ごとに1", "-"),
        "pdu": (str(own.max_pdu_bytes), "node.max_pdu_bytes"),
        "proposed": ("Explicit VR Little Endian, Implicit VR Little Endian", "-"),
        "commitment": (DESTINATION.commitment, "destinations[].commitment"),
        "supersede": (f"{DESTINATION.supersede} ({joined(Supersession)})", "destinations[].supersede"),
        "retry": (
            f"{DESTINATION.retry_first_seconds:g} - {DESTINATION.retry_max_seconds:g}",
            "destinations[].retry_first_seconds, retry_max_seconds",
        ),
        "timeout": (f"{DESTINATION.timeout_seconds:g}", "destinations[].timeout_seconds"),
        "http": (f"{http.host}:{http.port}", "http"),
    }
    rows = [(ITEMS[language][key], value, f"`{place}`") for key, (value, place) in values.items()]
    return table(HEADS[language]["node"], rows)


def classes_in(language: str) -> str:
    """Return the SOP classes that the node takes."""
    return table(HEADS[language]["classes"], [(name(uid), uid) for uid in INPUT_SOP_CLASSES])


def syntaxes_in() -> str:
    """Return the transfer syntaxes in which it takes them, in the order of its preference."""
    return "\n".join(f"* {name(uid)} ({uid})" for uid in SUPPORTED_TRANSFER_SYNTAXES) + "\n"


def classes_out(language: str) -> str:
    """Return the SOP classes of the objects that are sent without a word in the configuration."""
    kinds = {f"`{kind}`" for kind in DEFAULT_OBJECTS}
    rows = [line.strip("| ").split(" | ") for line in objects().splitlines()[2:]]
    chosen = {(row[0], row[1]): row[2] for row in rows if row[2] in kinds}
    head = (*HEADS[language]["classes"], "`objects`")
    return table(head, [(label, uid, kind) for (label, uid), kind in chosen.items()])
