# SPDX-License-Identifier: Apache-2.0
"""Every awkward variant of every kind, how one is written, and the table of docs/phantoms.md."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset

from models.phantoms.dicom import phantom_uid
from models.phantoms.variants import syntaxes
from models.phantoms.variants.chest_ct import CHEST_CTS
from models.phantoms.variants.mammogram import MAMMOGRAMS
from models.phantoms.variants.radiograph import RADIOGRAPHS
from models.phantoms.variants.stored import Datasets, Edit, each
from models.phantoms.variants.variant import Expected, Variant
from service.domain.errors import ConfigurationError

_FLAG_OF_LOSSY = {"radiograph": "lossy", "hrct": "lossy_compression", "mammogram": "lossy"}
_LOSSLESS: tuple[tuple[str, str, Edit, str], ...] = (
    ("implicit-vr", "Implicit VR Little Endian", syntaxes.IMPLICIT, ""),
    ("big-endian", "Explicit VR Big Endian (retired)", syntaxes.BIG_ENDIAN, ""),
    ("rle", "RLE Lossless", syntaxes.RLE, ""),
    (
        "jpeg-lossless",
        "JPEG Lossless, first-order prediction (process 14, SV1)",
        syntaxes.JPEG_LOSSLESS_SV1,
        syntaxes.DCMCJPEG,
    ),
    ("jpeg-lossless-14", "JPEG Lossless (process 14)", syntaxes.JPEG_LOSSLESS, syntaxes.DCMCJPEG),
    ("jpeg-ls", "JPEG-LS Lossless", syntaxes.JPEG_LS, ""),
    ("jpeg-2000", "JPEG 2000 Lossless", syntaxes.JPEG_2000, ""),
)
_LOSSY: tuple[tuple[str, str, Edit, str], ...] = (
    ("jpeg-extended", "JPEG Extended, 12 bits (processes 2 and 4)", syntaxes.JPEG_EXTENDED, syntaxes.DCMCJPEG),
    ("jpeg-ls-near", "JPEG-LS Near-lossless", syntaxes.JPEG_LS_NEAR, ""),
)


def _owed_to_lossy(kind: str, edit: Edit) -> tuple[Expected, str]:
    """Return what becomes of a lossy image: DCMTK calls it DERIVED, as it should, and CT must be ORIGINAL."""
    if kind == "hrct" and edit is syntaxes.JPEG_EXTENDED:
        return Expected.REFUSED, "no_original_axial_image"
    return Expected.FLAGGED, _FLAG_OF_LOSSY[kind]


def _in_syntaxes(kind: str) -> Iterator[Variant]:
    for name, says, edit, needs in _LOSSLESS:
        yield Variant(kind=kind, name=name, change=says, expected=Expected.ALIKE, edit=each(edit), needs=needs)
    for name, says, edit, needs in _LOSSY:
        expected, reason = _owed_to_lossy(kind, edit)
        yield Variant(
            kind=kind, name=name, change=says, expected=expected, reasons=(reason,), edit=each(edit), needs=needs
        )
    says = "Deflated Explicit VR, which the node takes from nobody: it inflates before it can be checked"
    yield Variant(
        kind=kind,
        name="deflated",
        change=says,
        expected=Expected.UNREADABLE,
        edit=each(syntaxes.DEFLATED),
        is_valid=False,  # it is, but dciodvfy does not inflate
    )


VARIANTS: Mapping[str, tuple[Variant, ...]] = MappingProxyType(
    {
        "radiograph": (*RADIOGRAPHS, *_in_syntaxes("radiograph")),
        "hrct": (*CHEST_CTS, *_in_syntaxes("hrct")),
        "mammogram": (*MAMMOGRAMS, *_in_syntaxes("mammogram")),
    }
)
"""By kind; within a kind names are unique and the first is the plain study."""


def variant_named(kind: str, name: str) -> Variant:
    """Return a variant.

    Raises
    ------
    ConfigurationError
        No such variant of the kind; names those that are.
    """
    known = {variant.name: variant for variant in VARIANTS.get(kind, ())}
    if name not in known:
        raise ConfigurationError(f"there is no variant '{name}' of a {kind}; known are {', '.join(known) or 'none'}")
    return known[name]


def write_variant(variant: Variant, plain: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """Write the variant of a plain study that lies in files; one file for each image, as a study of its own."""
    images = variant.edit([dcmread(path) for path in plain])
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(
        _save(_renamed(image, variant), folder / f"{number:04d}.dcm") for number, image in enumerate(images, 1)
    )


def _renamed(image: Dataset, variant: Variant) -> Dataset:
    """Give the image UIDs of its own for this variant, the same ones every time."""
    if variant.name != "plain":
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            if keyword in image:
                setattr(image, keyword, phantom_uid(variant.name, getattr(image, keyword)))
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    return image


def _save(image: Dataset, path: Path) -> Path:
    dcmwrite(path, image, enforce_file_format=True)  # save_as would not change the byte order
    return path


def markdown(kind: str) -> str:
    """Return the kind's variants as a table for docs/phantoms.md."""
    lines = ["| variant | what is changed | what the node must do |", "|---|---|---|"]
    return "\n".join([*lines, *(_line(variant) for variant in VARIANTS[kind])]) + "\n"


def _line(variant: Variant) -> str:
    return f"| `{variant.name}` | {variant.change} | {owed(variant, mark='`')} |"


def owed(variant: Variant, *, mark: str = "") -> str:
    """Return what the node must do with a variant, in words; `mark` goes around codes."""
    codes = ", ".join(f"{mark}{reason}{mark}" for reason in variant.reasons)
    says = {
        Expected.ALIKE: "analyse it, no further flag" if variant.is_loose else "analyse it alike",
        Expected.FLAGGED: f"analyse it{'' if variant.is_loose else ' alike'}, flag {codes}",
        Expected.REFUSED: f"refuse it: {codes}",
        Expected.PARTLY: f"analyse the rest, refuse the view: {codes}",
        Expected.UNREADABLE: "say that it cannot be read",
    }[variant.expected]
    said = f'{says}, say "{variant.says}"' if variant.says else says
    return f"{said} (open: {variant.defect})" if variant.defect else said


__all__ = ["VARIANTS", "Datasets", "Expected", "Variant", "markdown", "owed", "variant_named", "write_variant"]
