# SPDX-License-Identifier: Apache-2.0
"""A small archive for demonstrations and tests: it keeps what it receives in a folder. It is no PACS."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path

from pydicom.uid import UID
from pynetdicom.dsutils import create_file_meta, encode_file_meta

from service.domain.event import Event
from service.ports import IncomingInstance, StoreOutcome
from service.settings import NodeSettings, PeerSettings
from service.transport.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, INPUT_SOP_CLASSES
from service.transport.store_scp import StoreScp

RESULT_SOP_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.88.11",  # Basic Text SR
    "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
    "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
    "1.2.840.10008.5.1.4.1.1.88.50",  # Mammography CAD SR
    "1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection
    "1.2.840.10008.5.1.4.1.1.88.65",  # Chest CAD SR
    "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
)
TRANSFER_SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2.5")
UID_TEXT = re.compile(r"[0-9]+(\.[0-9]+)*")


class ArchiveScp:
    """A storage SCP that writes each instance to `folder`, named by its SOP Instance UID.

    Parameters
    ----------
    callers
        AE titles that may send, from this machine only.
    port
        0 takes a free one.
    """

    def __init__(
        self, folder: Path, *, ae_title: str = "ARCHIVE", port: int = 0, callers: Sequence[str] = ("DOKUEI",)
    ) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._arrived: list[Path] = []
        node = NodeSettings.model_construct(**{**NodeSettings().model_dump(), "ae_title": ae_title, "port": port})
        self._scp = StoreScp(
            node.model_copy(update={"host": "127.0.0.1"}),
            peers=[_local_peer(index, title) for index, title in enumerate(callers)],
            receiver=self._keep,
            observer=_ignore,
            transfer_syntaxes=TRANSFER_SYNTAXES,
            sop_classes=(*RESULT_SOP_CLASSES, *INPUT_SOP_CLASSES),
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._scp.port

    @property
    def arrived(self) -> tuple[Path, ...]:
        """The files in the order of their arrival; an instance that came again keeps its first place."""
        with self._lock:
            return tuple(self._arrived)

    def start(self) -> None:
        """Listen; returns at once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._scp.start()

    def stop(self, timeout_seconds: float = 5) -> None:
        """Answer what is under way and close."""
        self._scp.drain(timeout_seconds)

    def _keep(self, incoming: IncomingInstance) -> StoreOutcome:
        if not UID_TEXT.fullmatch(incoming.sop_instance_uid):
            return StoreOutcome.CANNOT_UNDERSTAND
        path = self._folder / f"{incoming.sop_instance_uid}.dcm"
        with self._lock:
            known = path in self._arrived
            _write(path, incoming)
            if known:
                return StoreOutcome.DUPLICATE
            self._arrived.append(path)
        return StoreOutcome.STORED


def _write(path: Path, incoming: IncomingInstance) -> None:
    meta = create_file_meta(
        sop_class_uid=UID(incoming.sop_class_uid),
        sop_instance_uid=UID(incoming.sop_instance_uid),
        transfer_syntax=UID(incoming.transfer_syntax_uid),
    )
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        stream.write(bytes(128) + b"DICM" + encode_file_meta(meta))
        stream.writelines(incoming.dataset)
    part.replace(path)


def _local_peer(index: int, ae_title: str) -> PeerSettings:
    return PeerSettings.model_validate({"name": f"caller-{index}", "ae_title": ae_title, "address": "127.0.0.0/8"})


def _ignore(event: Event) -> None:
    del event
