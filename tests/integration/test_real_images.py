# SPDX-License-Identifier: Apache-2.0
"""Every real file becomes an image or a clear error, and pictures come out with the right polarity."""

import gzip
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.dicom.ct import frame_planes
from service.dicom.pixels import read_frames, read_image
from service.dicom.scan import Scanner
from service.domain.errors import InputError
from service.domain.image import StoredImage
from service.imaging.grayscale import to_hounsfield
from service.imaging.masks import breast_mask, lung_mask_ct
from service.imaging.radiograph import air_darkness, as_chest_radiograph, as_mammogram, mediastinum_contrast
from service.imaging.resample import letter_box
from service.imaging.volume import measure_stack

pytestmark = pytest.mark.real_data

_NO_DICOM = frozenset((".png", ".jpg", ".csv", ".md", ".txt", ".json", ".dump", ".icc"))
WG04 = "dicom_wg04/data/WG04"


def unpacked(path: Path, folder: Path) -> Path | None:
    """Return the file, or its unpacked copy; None when the program to unpack it is missing."""
    target = folder / "unpacked"
    if path.suffix == ".gz":
        target.write_bytes(gzip.decompress(path.read_bytes()))
        return target
    if path.suffix == ".zst":
        zstd = shutil.which("zstd")
        if zstd is None:
            return None
        subprocess.run([zstd, "-q", "-d", "-f", path, "-o", target], check=True)
        return target
    return path


SCANNER = Scanner()


def candidates(folder: Path) -> Iterator[Path]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return (path for path in files if path.suffix.lower() not in _NO_DICOM and not path.name.endswith(".nii.gz"))


def outcome(path: Path) -> str:
    try:
        SCANNER.scan(path)
        frame_planes(path)
        for image in read_frames(path):
            as_chest_radiograph(image)
    except InputError as error:
        return type(error).__name__
    return "image"


def test_every_file_is_an_image_or_a_clear_refusal(real_data_folder: Path, tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    for path in candidates(real_data_folder):
        source = unpacked(path, tmp_path)
        if source is not None:
            outcomes[outcome(source)] += 1
    assert outcomes["image"] > 150
    assert outcomes["AdmissionError"] > 20
    assert outcomes["PixelError"] > 20


def image_of(real_data_folder: Path, name: str, tmp_path: Path) -> StoredImage:
    path = unpacked(next(real_data_folder.glob(name)), tmp_path)
    assert path is not None
    return read_image(path)


@pytest.mark.parametrize(
    "name",
    ["dicom_circus/**/CR-LIDC-MONOCROME1.gz", f"{WG04}/J2KI/RG1_J2KI", f"{WG04}/JLSN/RG1_JLSN"],
)
def test_monochrome1_chests_have_dark_lungs(real_data_folder: Path, tmp_path: Path, name: str) -> None:
    image = image_of(real_data_folder, name, tmp_path)
    assert image.photometric_interpretation == "MONOCHROME1"
    assert mediastinum_contrast(as_chest_radiograph(image).pixels) > 0.05


def test_a_chest_whose_header_lies_shows_it_in_the_measure(real_data_folder: Path, tmp_path: Path) -> None:
    honest, lying = "cxr_txv/tests/1.2.276*.dcm", "cxr_txv/tests/Fake_MONOHR1.dcm"
    assert mediastinum_contrast(as_chest_radiograph(image_of(real_data_folder, honest, tmp_path)).pixels) > 0.1
    assert mediastinum_contrast(as_chest_radiograph(image_of(real_data_folder, lying, tmp_path)).pixels) < -0.1


@pytest.mark.parametrize("syntax", ["J2KR", "JLSL", "JPLL", "RLE", "J2KI", "JLSN", "JPLY"])
def test_limbs_are_bright_on_dark_air_in_every_syntax(real_data_folder: Path, tmp_path: Path, syntax: str) -> None:
    """RG3 is a lower leg, MONOCHROME1: bone in the middle, air beside it inside the collimation."""
    radiograph = as_chest_radiograph(image_of(real_data_folder, f"{WG04}/{syntax}/RG3_{syntax}", tmp_path))
    assert radiograph.patient_orientation == ("L", "F")
    rows, columns = radiograph.pixels.shape
    bone = np.median(radiograph.pixels[: rows // 4, int(columns * 0.48) : int(columns * 0.54)])
    air = np.median(radiograph.pixels[rows // 2 : rows * 3 // 4, int(columns * 0.33) : int(columns * 0.38)])
    assert bone - air > 0.2


@pytest.mark.parametrize("image", ["CT1", "CT2", "RG2", "RG3"])
def test_lossless_syntaxes_agree_with_the_uncompressed_reference(
    real_data_folder: Path, tmp_path: Path, image: str
) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("zstd is missing")
    reference = image_of(real_data_folder, f"{WG04}/REF/{image}_UNC.zst", tmp_path).pixels
    for syntax in ("J2KR", "JLSL", "JPLL", "RLE"):
        decoded = image_of(real_data_folder, f"{WG04}/{syntax}/{image}_{syntax}", tmp_path).pixels
        np.testing.assert_array_equal(decoded, reference, err_msg=syntax)


@pytest.mark.parametrize("image", ["RG2", "RG3"])
def test_repaired_twelve_bit_jpeg_is_close_to_the_reference(real_data_folder: Path, tmp_path: Path, image: str) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("zstd is missing")
    reference = image_of(real_data_folder, f"{WG04}/REF/{image}_UNC.zst", tmp_path).pixels.astype(int)
    decoded = image_of(real_data_folder, f"{WG04}/JPLY/{image}_JPLY", tmp_path).pixels.astype(int)
    assert np.median(np.abs(decoded - reference)) <= 4


@pytest.mark.parametrize(
    ("name", "orientation", "wall"),
    [
        ("dicom_fodicom_mg/**/GH133.dcm", ("P", "F"), "right"),
        (f"{WG04}/J2KI/MG1_J2KI", ("A", "F"), "left"),
        (f"{WG04}/JPLY/MG1_JPLY", ("A", "F"), "left"),
        ("dicom_fodicom_mg/**/OutOfBoundsOverlay.dcm", ("A", "R"), "left"),
    ],
)
def test_mammograms_are_upright_on_dark_air(
    real_data_folder: Path, tmp_path: Path, name: str, orientation: tuple[str, str], wall: str
) -> None:
    mammogram = as_mammogram(image_of(real_data_folder, name, tmp_path))
    assert mammogram.patient_orientation == orientation
    small, _ = letter_box(mammogram.pixels, (512, 512))
    mask = breast_mask(small)
    assert air_darkness(small, mask) > 0.15
    columns = np.flatnonzero(mask.any(axis=0))
    widest = mask.sum(axis=0)
    near_left, near_right = widest[columns[:50]].mean(), widest[columns[-50:]].mean()
    assert (near_left > near_right) == (wall == "left")


def test_a_real_ct_series_is_one_even_stack_with_air_and_tissue(real_data_folder: Path) -> None:
    images = [read_image(path) for path in sorted(real_data_folder.glob("ct_totalsegmentator/**/example_ct_dicom/CT*"))]
    stack = measure_stack([image.plane for image in images if image.plane is not None])
    assert (len(stack.order), stack.spacing_mm, stack.gaps, stack.duplicates, stack.axial) == (20, 2.0, 0, 0, True)
    hounsfield = to_hounsfield(images[0])
    assert hounsfield.min() <= -1000
    assert -100 < np.median(hounsfield[200:300, 200:300]) < 200


def test_lungs_are_found_in_real_chest_slices(real_data_folder: Path) -> None:
    """Patient A048383 has little disease; the slice passes through both lungs."""
    for path in sorted(real_data_folder.glob("ct_covid_nysbu_slices/data-sample/A048383/axial/*.dcm")):
        image = read_image(path)
        assert image.spacing_mm is not None
        area_cm2 = lung_mask_ct(to_hounsfield(image)).sum() * image.spacing_mm[0] * image.spacing_mm[1] / 100
        assert 120 < area_cm2 < 350
