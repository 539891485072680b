# SPDX-License-Identifier: Apache-2.0
"""What the viewers are shown: phantom studies and what the node itself made of them, in an archive with DICOMweb."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from service.settings.results import CHOICES

FILM, CT, MAMMOGRAPHY = "1-chest-film-with-dust-opacities", "4-chest-ct-with-honeycombing", "6-mammography-with-a-mass"
STUDIES = (FILM, CT, MAMMOGRAPHY)

REPORT = "1.2.840.10008.5.1.4.1.1.88.33"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


@dataclass(frozen=True)
class Study:
    """The files of one study: its images, and the node's results."""

    images: tuple[Path, ...]
    results: tuple[Path, ...]

    @cached_property
    def uid(self) -> str:
        """Study Instance UID."""
        return str(dcmread(self.images[0], stop_before_pixels=True).StudyInstanceUID)

    def of(self, sop_class_uid: str) -> list[Dataset]:
        """The results of a SOP class, in the order of their series and instance numbers."""
        found = [dataset for dataset in map(dcmread, self.results) if dataset.SOPClassUID == sop_class_uid]
        return sorted(found, key=lambda dataset: (dataset.SeriesNumber, dataset.InstanceNumber))

    def image(self, sop_instance_uid: str) -> Dataset:
        """The image with this UID."""
        return next(dataset for dataset in map(dcmread, self.images) if dataset.SOPInstanceUID == sop_instance_uid)


def analyse(phantoms: Path, folder: Path, *, node: NodeProgram, archive: Orthanc) -> None:
    """Send the studies through a node that is asked for every kind of object, and keep what reaches the archive."""
    for name in STUDIES:
        sent = dcmsend(node.called, sorted((phantoms / name).glob("*.dcm")))
        assert sent.returncode == 0, sent.stderr
    node.wait_for_results(len(STUDIES), seconds=240)
    archive.save_files(folder)


def destination_of(archive: Orthanc) -> dict[str, object]:
    """Section of an archive that wants every kind of object."""
    return {
        "name": "pacs",
        "ae_title": archive.ae_title,
        "host": "127.0.0.1",
        "port": archive.dicom_port,
        "objects": [str(kind) for kind in CHOICES],
    }


def read_studies(phantoms: Path, results: Path) -> dict[str, Study]:
    """Return the studies by name, with the results that are kept in a folder."""
    headers = {path: dcmread(path, stop_before_pixels=True) for path in sorted(results.glob("*.dcm"))}
    studies = {}
    for name in STUDIES:
        images = tuple(sorted((phantoms / name).glob("*.dcm")))
        uid = dcmread(images[0], stop_before_pixels=True).StudyInstanceUID
        studies[name] = Study(images, tuple(path for path, header in headers.items() if header.StudyInstanceUID == uid))
    return studies


def fill(archive: Orthanc, studies: dict[str, Study]) -> None:
    """Store images and results."""
    for study in studies.values():
        for path in (*study.images, *study.results):
            assert archive.upload(path)["Status"] == "Success"
