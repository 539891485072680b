# SPDX-License-Identifier: Apache-2.0
"""Pixel data that claims more than it has: refused before a decoder sees it, and never half a picture."""

import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame

from harness.codestreams import BOMBS, JPEG_2000, JPEG_LS, jpeg, jpeg_2000, slice_with
from harness.images import image_dataset, save_image
from harness.processes import wait_until
from harness.stock_scp import StockScp
from harness.watched import MIB, Bystander, Growth
from harness.wire import ASSOCIATE_AC, CT_IMAGE, Context, Peer, echo_seconds, element, even
from service.dicom.pixels import read_image
from service.domain.errors import InputError

pytestmark = [pytest.mark.timeout(90), pytest.mark.filterwarnings("ignore::UserWarning:pydicom")]
StartStock = Callable[..., StockScp]


def file_of(folder: Path, transfer_syntax: str, data_set: bytes) -> Path:
    meta = element(0x00020010, b"UI", even(transfer_syntax))
    length = element(0x00020000, b"UL", struct.pack("<I", len(meta)))
    path = folder / "bomb.dcm"
    path.write_bytes(bytes(128) + b"DICM" + length + meta + data_set)
    return path


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a16_g35_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, bomb: tuple[str, bytes, int, int]) -> None:
    transfer_syntax, frame, size, bits = bomb
    assert len(BOMBS) == 21
    path = file_of(tmp_path, transfer_syntax, slice_with(frame, rows=size, columns=size, bits=bits))
    assert path.stat().st_size < 1_500
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(InputError):
        read_image(path)
    assert time.monotonic() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def send(port: int, transfer_syntax: str, data: bytes) -> int:
    context = (Context(1, CT_IMAGE, (transfer_syntax,)),)
    with Peer(port, seconds=60) as peer:
        assert peer.associate(context).kind == ASSOCIATE_AC
        return peer.store(data, seconds=60)


def test_a42_three_hundred_bytes_kill_a_server_that_decodes(start_stock: StartStock) -> None:
    """GDCM ends the process: `terminate called after throwing an instance of 'std::length_error'`."""
    stock = start_stock(decode=True)
    data = slice_with(jpeg(0xF7, 65_500, 65_500, bits=16), rows=8, columns=8, bits=16)
    assert len(data) < 300
    assert send(stock.port, JPEG_LS, data) == -1
    wait_until(lambda: not stock.runs, seconds=10, what="the stock server survived")


def test_a44_a_kilobyte_grows_to_gigabytes_in_a_server_that_decodes(start_stock: StartStock) -> None:
    stock = start_stock(decode=True)
    data = slice_with(jpeg_2000(20_000, 20_000), rows=20_000, columns=20_000)
    assert len(data) < 1_024
    with Growth(stock.cost) as growth:
        send(stock.port, JPEG_2000, data)
    assert growth.bytes > 300 * MIB
    assert echo_seconds(stock.port, address=Bystander.ADDRESS) > 0


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a16c_half_a_frame_is_a_picture_to_the_default_decoders(tmp_path: Path, share: float) -> None:
    """pydicom tries one decoder after the other until one returns something; ours is one, and strict."""
    pixels = np.random.default_rng(16).integers(0, 4_096, (256, 256), dtype=np.uint16)
    path = save_image(image_dataset(pixels), tmp_path / "whole.dcm", transfer_syntax_uid=JPEG_LS)
    dataset = dcmread(path)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: int(len(frame) * share)]])
    dataset.save_as(path)
    wrong = np.abs(dcmread(path).pixel_array.astype(int) - pixels) > 10
    assert wrong.mean() > (1 - share) / 3  # silently
    with pytest.raises(InputError):
        read_image(path)


@pytest.mark.parametrize("transfer_syntax", [JPEG_LS, JPEG_2000])
def test_g35_a_legal_black_image_is_no_bomb(tmp_path: Path, transfer_syntax: str) -> None:
    """4,096 x 4,096 of black compress to almost nothing."""
    path = save_image(
        image_dataset(np.zeros((4_096, 4_096), np.uint8)), tmp_path / "black.dcm", transfer_syntax_uid=transfer_syntax
    )
    assert path.stat().st_size < 200_000
    image = read_image(path)
    assert image.pixels.shape == (4_096, 4_096)
    assert not image.pixels.any()
