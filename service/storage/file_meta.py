# SPDX-License-Identifier: Apache-2.0
"""The first bytes of every stored file: preamble and file meta information (PS3.10 section 7.1).

Written by hand, because pydicom takes longer for these six elements (1 ms) than the ledger for the whole instance; a
test reads them back with pydicom.
"""

import struct

from service.domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PREAMBLE = bytes(128) + b"DICM"
"""Always zeros: a peer's preamble could make the file executable (PS3.10 section 7.1)."""
FILE_META = 0x0002
VERSION = struct.pack("<HH2sHI", FILE_META, 0x0001, b"OB", 0, 2) + b"\x00\x01"


def _element(element: int, vr: bytes, value: str) -> bytes:
    """Encode in Explicit VR Little Endian; UIDs are padded with NUL, text with a blank, to an even length."""
    padding = b"\x00" if vr == b"UI" else b" "
    encoded = value.encode("ascii")
    encoded += padding * (len(encoded) % 2)
    return struct.pack("<HH2sH", FILE_META, element, vr, len(encoded)) + encoded


IMPLEMENTATION = _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID) + _element(
    0x0013, b"SH", IMPLEMENTATION_VERSION_NAME
)


def file_meta(*, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return what precedes the data set in a DICOM file."""
    elements = (
        VERSION
        + _element(0x0002, b"UI", sop_class_uid)
        + _element(0x0003, b"UI", sop_instance_uid)
        + _element(0x0010, b"UI", transfer_syntax_uid)
        + IMPLEMENTATION
    )
    return PREAMBLE + struct.pack("<HH2sHI", FILE_META, 0x0000, b"UL", 4, len(elements)) + elements
