# SPDX-License-Identifier: Apache-2.0
"""Every DICOM file there is, sent in its own transfer syntax: stored bit for bit, then decoded right or refused aloud.

A raw sender is used, because DCMTK cannot propose every syntax and would write some files again. The decoder is held
against GDCM and SimpleITK's own, which share no code with the pinned ones.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import UID

from harness.dcmtk import dcmsend
from harness.real import NO_DICOM, unpack
from harness.receiver_program import ReceiverProgram
from harness.wire import Context, Peer
from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES, read_frames
from service.domain.errors import InputError
from service.transport.sop_classes import INPUT_SOP_CLASSES

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # odd values are why these files are here
]
LOSSY = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91"}
LOSSY |= {"1.2.840.10008.1.2.4.203"}
GREY_LEVELS = 2
"""What two decoders of a lossy image may differ by."""
PYDICOM = Path(pydicom.__file__).parent / "data"
"""pydicom's own test files, as far as its wheel has them: nothing is downloaded."""
MAX_FRAMES = 3
"""Frames of a long movie that are compared."""


def candidates(folder: Path, unpacked: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file that may be DICOM: the real ones and pydicom's own."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix.lower() in NO_DICOM or path.name.endswith(".nii.gz"):
            continue
        target = unpacked / f"{len(list(unpacked.iterdir()))}"
        if unpack(path, target):
            yield str(path.relative_to(folder)), target
    for path in sorted(path for path in PYDICOM.rglob("*") if path.is_file()):
        yield f"pydicom/{path.name}", path


def data_set_bytes(path: Path) -> bytes | None:
    """The data set of a Part 10 file as it stands there; None for what is none."""
    data = path.read_bytes()
    if data[128:132] != b"DICM" or data[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        return None
    return data[144 + int.from_bytes(data[140:144], "little") :]


class Sent:
    """What became of each file, by transfer syntax."""

    def __init__(self) -> None:
        self.table: dict[str, Counter[str]] = defaultdict(Counter)
        self.silent: list[str] = []

    def count(self, syntax: str, outcome: str) -> None:
        self.table[syntax][outcome] += 1

    def total(self, outcome: str) -> int:
        return sum(counts[outcome] for counts in self.table.values())

    def __str__(self) -> str:
        lines = [
            f"{UID(syntax).name or syntax}: "
            + ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
            for syntax, counts in sorted(self.table.items())
        ]
        return "\n".join(lines)


def store(port: int, header: FileDataset, data: bytes) -> int | None:
    """Send a data set in the syntax that it is in; None when the syntax is not accepted for its class."""
    sop_class, syntax = str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)
    with Peer(port, seconds=60) as peer:
        results = peer.results([Context(1, sop_class, (syntax,))])
        if results[1] != 0:
            peer.release()
            return None
        status = peer.store(data, sop_instance_uid=str(header.SOPInstanceUID), sop_class_uid=sop_class)
        peer.release()
        return status


def test_every_file_is_stored_bit_for_bit_and_decoded_right_or_refused(
    real_data_folder: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    receiver = ReceiverProgram(tmp_path / "receiver")
    receiver.start()
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    sent, known = Sent(), set[Path]()
    try:
        for name, path in candidates(real_data_folder, unpacked):
            known |= one_file(sent, receiver, name, path, known)
    finally:
        receiver.stop()
    record_property("transfer_syntaxes", str(sent))
    print(f"\n{sent}")  # noqa: T201 - the table of the summary (-rP)
    assert sent.silent == []
    assert not sent.total("SILENT") + sent.total("WRONG") + sent.total("wrong")
    assert sent.total("stored") > 150
    assert sent.total("decoded as the reference") > 100
    accepted = {syntax for syntax, counts in sent.table.items() if counts["stored"]}
    assert len(accepted & set(SUPPORTED_TRANSFER_SYNTAXES)) >= 12
    assert "1.2.840.10008.1.2.1.99" not in accepted  # deflated


def one_file(sent: Sent, receiver: ReceiverProgram, name: str, path: Path, known: set[Path]) -> set[Path]:
    """Send a file and follow it; returns the files that it made."""
    data = data_set_bytes(path)
    try:
        header = dcmread(path, stop_before_pixels=True)
        sop_class, _, syntax = header.SOPClassUID, header.SOPInstanceUID, str(header.file_meta.TransferSyntaxUID)
    except Exception:  # noqa: BLE001 - no DICOM file at all: no sender would have it
        sent.count("-", "no DICOM file with UIDs and meta information")
        return set()
    if data is None:
        sent.count(syntax, "no Part 10 file")
        return set()
    if sop_class not in INPUT_SOP_CLASSES:
        sent.count(syntax, "of another SOP class, refused" if store(receiver.port, header, data) is None else "wrong")
        return set()
    status = store(receiver.port, header, data)
    if status is None:
        sent.count(syntax, "transfer syntax refused")
        return set()
    assert status == 0x0000, name
    sent.count(syntax, "stored")
    made = set(receiver.stored()) - known
    if not made:
        sent.count(syntax, "the same bytes again")
    for kept in made:
        assert data_set_bytes(kept) == data, name
        sent.count(syntax, picture(name, kept, syntax, sent))
    return made


def picture(name: str, path: Path, syntax: str, sent: Sent) -> str:
    """Decode with the node's decoder and with another; say what came of it."""
    try:
        frames = [image.pixels for image, _ in zip(read_frames(path), range(MAX_FRAMES), strict=False)]
    except InputError as error:
        if is_plain_grey(path, syntax) and other_reader(path) is not None:
            sent.silent.append(f"{name}: refused ({error}), but another decoder reads it")
        return f"refused: {reason(str(error))}" if str(error) else "SILENT"
    reference = other_reader(path)
    if reference is None:
        return "decoded, no other reader can"
    limit = GREY_LEVELS if syntax in LOSSY else 0
    for mine, other in zip(frames, reference, strict=False):
        difference = np.abs(mine.astype(np.int64) - other.astype(np.int64)).max()
        if difference > limit:
            sent.silent.append(f"{name}: differs by {difference} grey levels from the reference")
            return "WRONG"
    return "decoded as the reference"


def is_plain_grey(path: Path, syntax: str) -> bool:
    """Say whether it is grey pixels of whole bytes, in a syntax that is not refused on purpose, and in whole words."""
    header = dcmread(path, stop_before_pixels=True)
    if syntax == str(UID("1.2.840.10008.1.2.1.99")) or not str(header.get("NumberOfFrames", 1)).isdigit():
        return False
    grey = str(header.get("PhotometricInterpretation", "")).startswith("MONOCHROME")
    return grey and int(header.get("BitsAllocated", 0)) in {8, 16}


def reason(text: str) -> str:
    """The rule of a refusal, without the values."""
    return " ".join(word for word in text.split(";", maxsplit=1)[0].split() if not any(map(str.isdigit, word)))[:60]


def other_reader(path: Path) -> list[NDArray[np.int64]] | None:
    """Stored values by GDCM; None when it cannot read the file."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    try:
        if not reader.Read():
            return by_itk(path)
        image = reader.GetImage()
        raw = image.GetBuffer().encode("utf-8", "surrogateescape")
    except Exception:  # noqa: BLE001 - a reader that fails is no reference
        return by_itk(path)
    header = dcmread(path, stop_before_pixels=True)
    kind = {"UINT8": "u1", "INT8": "i1", "UINT16": "<u2", "INT16": "<i2", "UINT12": "<u2", "INT12": "<i2"}
    form = kind.get(image.GetPixelFormat().GetScalarTypeAsString())
    size = int(header.Rows) * int(header.Columns)
    if form is None or not raw or len(raw) % (size * np.dtype(form).itemsize):
        return by_itk(path)
    frames = np.frombuffer(raw, form).reshape(-1, int(header.Rows), int(header.Columns)).astype(np.int64)
    return [in_stored_bits(frame, header) for frame in frames[:MAX_FRAMES]]


def in_stored_bits(frame: NDArray[np.int64], header: FileDataset) -> NDArray[np.int64]:
    """Drop what lies outside Bits Stored, as PS3.5 8.1.1 has it."""
    stored = int(header.BitsStored)
    values = frame & ((1 << stored) - 1)
    return (
        np.where(values >> (stored - 1) & 1, values - (1 << stored), values) if header.PixelRepresentation else values
    )


def by_itk(path: Path) -> list[NDArray[np.int64]] | None:
    """Stored values by SimpleITK, where the rescale is none."""
    header = dcmread(path, stop_before_pixels=True)
    if float(header.get("RescaleSlope") or 1) != 1 or float(header.get("RescaleIntercept") or 0) != 0:
        return None
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        array = SimpleITK.GetArrayFromImage(reader.Execute())
    except RuntimeError:
        return None
    frames = array.reshape(-1, int(header.Rows), int(header.Columns)) if array.ndim <= 3 else None
    return None if frames is None else [frame.astype(np.int64) for frame in frames[:MAX_FRAMES]]


@pytest.mark.peers
def test_dcmtk_sends_compressed_files_as_they_are(real_data_folder: Path, tmp_path: Path) -> None:
    """The raw sender above is ours; a real modality's must give the same bytes."""
    receiver = ReceiverProgram(tmp_path / "receiver")
    receiver.start()
    try:
        files = sorted(real_data_folder.glob("dicom_wg04/data/WG04/*/CT1_J*"))
        files += sorted(real_data_folder.glob("ct_covid_nysbu_slices/**/*.dcm"))[:5]
        assert len(files) > 6
        answer = dcmsend(receiver.called, files, "-dn")
        assert answer.returncode == 0, answer.stderr
        with warnings.catch_warnings(action="ignore"):
            sent = {bytes(dcmread(path).PixelData) for path in files}
            assert {bytes(dcmread(path).PixelData) for path in receiver.stored()} == sent
    finally:
        receiver.stop()


def test_charset_files_arrive_bit_for_bit(tmp_path: Path) -> None:
    """Goal 33 as far as receiving goes: the bytes of every text stay what they were, whatever the character set."""
    names = sorted((PYDICOM / "charset_files").glob("*.dcm"))
    assert len(names) >= 10
    receiver = ReceiverProgram(tmp_path / "receiver")
    receiver.start()
    compared = 0
    try:
        for number, name in enumerate(names, start=1):
            with warnings.catch_warnings(action="ignore"):
                dataset = dcmread(name)
                dataset.SOPClassUID = INPUT_SOP_CLASSES[5]
                dataset.SOPInstanceUID = f"1.2.3.{number}"
                texts = raw_texts(dataset)
                dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
                dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
                dataset.save_as(tmp_path / "sent.dcm")
            data = data_set_bytes(tmp_path / "sent.dcm")
            assert data is not None
            assert store(receiver.port, dcmread(tmp_path / "sent.dcm"), data) == 0x0000
            kept = next(path for path in receiver.stored() if data_set_bytes(path) == data)
            assert raw_texts(dcmread(kept)) == texts
            compared += len(texts)
        assert compared >= len(names)
    finally:
        receiver.stop()


def raw_texts(dataset: FileDataset) -> dict[int, bytes]:
    """The undecoded bytes of the elements that a character set applies to."""
    found = {}
    for tag in (0x00080005, 0x00100010, 0x00100020, 0x00081030):
        element = dataset.get_item(tag)
        if element is not None and isinstance(element.value, bytes):
            found[tag] = element.value.rstrip(b" \0")
    return found
