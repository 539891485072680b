# SPDX-License-Identifier: Apache-2.0
"""Every real radiograph of the data folder by its header, and real films that lie: each has its answer."""

import csv
import gzip
import warnings
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.errors import InvalidDicomError

from models.phantoms.dicom import PhantomStudy, write_dx
from service.domain.errors import PixelError
from service.domain.result import Outcome
from service.domain.study import Refusal, Selection
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline

pytestmark = pytest.mark.real_data
NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
PIPELINE = PneumoconiosisPipeline()
CR = "1.2.840.10008.5.1.4.1.1.1"
ANALYSED, UNREADABLE = "analysed", "unreadable"
ANSWERS = {
    "dicom_circus/*/CR-LIDC-MONOCROME1.gz": ANALYSED,
    "*/RG1_*": "pixel_spacing_missing",
    "*/RG2_*": "body_part",
    "*/RG3_*": "view",
    "*/dicomdirtests/77654033/CR*": "view",
    "*/charset_files/chr*Multi*": UNREADABLE,
    "cxr_txv/tests/*": "sop_class",
}
"""CR and DX files by what is said of them: read, refused for this among other reasons, or without any pixels."""
LEAST_FILES = 24
NIH_MM = 0.35
"""1024 pixels of a film of 36 cm; the pictures have no spacing."""
WRONGS = {
    "half turn": (lambda film: film[::-1, ::-1], {"upside_down"}),
    "quarter turn": (np.rot90, {"on_its_side"}),
    "quarter turn back": (lambda film: np.rot90(film, 3), {"on_its_side"}),
    "inverted": (lambda film: 4095 - film, {"polarity"}),
}
FILMS = 6


def radiographs(data: Path):
    """Yield every CR and DX file with its path in the data folder."""
    for path in sorted(data.rglob("*")):
        if not path.is_file() or path.suffix in {".png", ".jpg", ".csv", ".txt", ".md", ".nii", ".json"}:
            continue
        raw = path.read_bytes()
        try:
            content = gzip.decompress(raw) if path.suffix == ".gz" else raw
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the folder holds files that are damaged on purpose
                header = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content), stop_before_pixels=True)
        except (InvalidDicomError, OSError, EOFError, ValueError, AttributeError):
            continue
        if header.get("Modality") in {"CR", "DX"}:
            yield str(path.relative_to(data)), content


def answer(instance, package, **acceptance):
    choice = PIPELINE.select([instance], {**package.acceptance, **acceptance})
    if isinstance(choice, Refusal):
        return {reason.code for reason in choice.reasons}
    assert isinstance(choice, Selection)
    try:
        result = PIPELINE.run(choice, package, analysed_at=NOW)
    except PixelError:
        return {UNREADABLE}
    if result.outcome is Outcome.NOT_ANALYSED:
        return {reason.code for reason in result.refusals}
    return {ANALYSED}


@pytest.fixture(scope="module")
def found(real_data_folder):
    return dict(radiographs(real_data_folder))


def expected_of(name: str) -> str:
    matches = [said for pattern, said in ANSWERS.items() if fnmatch(name, pattern)]
    assert len(matches) == 1, f"{name} is in no row of the table, or in several; say what the pipeline owes it"
    return matches[0]


def test_every_radiograph_of_the_folder_has_its_answer(found, package, tmp_path, as_instance):
    assert len(found) >= LEAST_FILES
    seen = set()
    for name, content in found.items():
        path = tmp_path / "film.dcm"
        path.write_bytes(content)
        assert expected_of(name) in answer(as_instance(path), package), name
        seen.add(expected_of(name))
    assert seen == set(ANSWERS.values())


def test_what_claims_to_be_a_pa_chest_is_read_only_if_it_is_one(found, package, tmp_path, as_instance):
    for name, content in found.items():
        if expected_of(name) == UNREADABLE or fnmatch(name, "cxr_txv/*"):
            continue  # the latter's spacing is not that of its pixels; see test_pneumoconiosis_real_films
        dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
        dataset.BodyPartExamined, dataset.ViewPosition, dataset.PixelSpacing = "CHEST", "PA", [0.2, 0.2]
        dataset.PatientAge = "050Y"
        for keyword in ("AnatomicRegionSequence", "LossyImageCompressionRatio"):
            dataset.pop(keyword, None)
        dataset.save_as(tmp_path / "claim.dcm")
        said = answer(as_instance(tmp_path / "claim.dcm"), package)
        if fnmatch(name, "*/RG1_*") or fnmatch(name, "dicom_circus/*"):
            assert said == {ANALYSED}, name
        else:
            assert said & {"no_frontal_chest", "dynamic_range"}, name


def adult_pa_films(data: Path):
    """Yield the first films of adults, PA, without a finding in their label."""
    with (data / "cxr_nih/labels.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["view"] == "PA" and int(row["age"]) >= 18]
    for row in [row for row in rows if row["labels"] == "No Finding"][:FILMS]:
        (path,) = (data / "cxr_nih").rglob(row["image"])
        yield np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 16


@pytest.fixture
def answer_to(tmp_path, as_instance, package):
    def ask(pixels):
        study = PhantomStudy(seed="real-view")
        path = tmp_path / "film.dcm"
        write_dx(path, np.ascontiguousarray(pixels).astype(np.uint16), study=study, pixel_spacing_mm=NIH_MM)
        return answer(as_instance(path), package, pixel_spacing_max_mm=0.4)

    return ask


def test_upright_films_are_read_and_wrong_ones_are_named(real_data_folder, answer_to):
    films = list(adult_pa_films(real_data_folder))
    assert len(films) == FILMS
    for film in films:
        assert answer_to(film) == {ANALYSED}
        for name, (change, codes) in WRONGS.items():
            assert answer_to(change(film)) == codes, name
