# SPDX-License-Identifier: Apache-2.0
"""Writes the committed seeds: `PYTHONPATH=tests python -m fuzz.make_corpus`. Small, synthetic, valid of their kind."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from fuzz.mutation import FOLDER
from fuzz.targets import _meta
from harness.hostile import EMPTY_ITEM, ct_object, nested, private_elements, sequence, to_implicit
from harness.images import image_dataset, save_image
from harness.wire import (
    COMMAND,
    CT_IMAGE,
    EXPLICIT,
    IMPLICIT,
    LAST,
    RELEASE_RQ,
    Context,
    associate_rq,
    command_set,
    echo_command,
    element,
    even,
    implicit,
    item,
    p_data,
    pdu,
    store_command,
    us,
    user_information,
)


def associations() -> dict[str, bytes]:
    identity = item(0x58, b"\x01\x00\x00\x04user\x00\x00")
    role = item(0x54, b"\x00\x19" + CT_IMAGE.encode() + b"\x00\x01")
    window, version = item(0x53, b"\0\1\0\1"), item(0x55, b"FUZZ_1")
    many = [Context(2 * number + 1, CT_IMAGE, (EXPLICIT, IMPLICIT)) for number in range(20)]
    return {
        "plain": associate_rq()[6:],
        "many-contexts": associate_rq(many)[6:],
        "user-items": associate_rq(information=user_information(more=identity + role + window + version))[6:],
    }


def answers() -> dict[str, bytes]:
    results = item(0x21, b"\x01\0\0\0" + item(0x40, EXPLICIT.encode())) + item(0x21, b"\x03\0\x04\0")
    fixed = b"\0\1\0\0" + b"DOKUEI".ljust(16) + b"MODALITY".ljust(16) + bytes(32)
    return {
        "plain": fixed + item(0x10, b"1.2.840.10008.3.1.1.1") + results + user_information(),
        "rejection": b"\0\1\1\3",
    }


def commands() -> dict[str, bytes]:
    report = command_set(
        implicit(0x2, even("1.2.840.10008.1.20.1")),
        us(0x100, 0x0100),
        us(0x110, 7),
        us(0x800, 1),
        implicit(0x1000, even("1.2.840.10008.1.20.1.1")),
        us(0x1002, 2),
    )
    answer = command_set(us(0x100, 0x8001), us(0x120, 1), us(0x800, 0x0101), us(0x900, 0xA700))
    return {"store": store_command("1.2.3"), "echo": echo_command(), "report": report, "answer": answer}


def conversations() -> dict[str, bytes]:
    data = ct_object()
    store = p_data(1, store_command("1.2.3.4"), control=COMMAND | LAST)
    parts = store + p_data(1, data[:100], control=0) + p_data(1, data[100:], control=LAST)
    echo = p_data(3, echo_command(), control=COMMAND | LAST)
    return {
        "store": associate_rq() + parts + pdu(RELEASE_RQ, bytes(4)),
        "echo": echo * 2,
        "objects": parts * 2,
    }


def data_sets() -> dict[str, bytes]:
    japanese = element(0x00080005, b"CS", b"\\ISO 2022 IR 87")
    name = element(0x00100010, b"PN", b"A^B=\x1b$B?M7A\x1b(B^\x1b$BB@O:\x1b(B=")
    codes = element(0x0008103F, b"SQ", element(0x00080100, b"SH", b"T1"), length=10)
    return {
        "plain": ct_object(),
        "nested": ct_object(nested(5)),
        "items": ct_object(sequence(EMPTY_ITEM * 5)),
        "private": ct_object(*private_elements(3)),
        "japanese": ct_object(japanese, name, without=[0x00100010]),
        "defined-length": ct_object(codes),
        "implicit": to_implicit(ct_object()),
    }


def files() -> dict[str, bytes]:
    stream = io.BytesIO()
    dataset = image_dataset(np.arange(16, dtype=np.uint16).reshape(4, 4))
    dcmwrite(stream, dataset, implicit_vr=True, little_endian=True)
    return {"explicit": _meta(EXPLICIT) + ct_object(), "implicit": _meta(IMPLICIT) + stream.getvalue()}


def codestreams(folder: Path) -> dict[str, bytes]:
    pixels = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG")
    found = {"jpeg": jpeg.getvalue()}
    for name, uid in (
        ("jpeg-ls", "1.2.840.10008.1.2.4.80"),
        ("jpeg-2000", "1.2.840.10008.1.2.4.90"),
        ("rle", "1.2.840.10008.1.2.5"),
    ):
        dataset = image_dataset(pixels)
        save_image(dataset, folder / name, transfer_syntax_uid=UID(uid))
        found[name] = get_frame(dataset.PixelData, 0, number_of_frames=1)
    return found


def main() -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        corpus = {
            "pdu_reader": conversations(),
            "association": associations(),
            "association_answer": answers(),
            "command": commands(),
            "codestream": codestreams(Path(folder)),
            "part10": files(),
            "data_set": data_sets(),
        }
    for target, named in corpus.items():
        (FOLDER / "corpus" / target).mkdir(parents=True, exist_ok=True)
        for name, data in named.items():
            (FOLDER / "corpus" / target / f"{name}.bin").write_bytes(data)


if __name__ == "__main__":
    main()
