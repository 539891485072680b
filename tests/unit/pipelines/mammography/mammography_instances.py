# SPDX-License-Identifier: Apache-2.0
"""Instances for the tests: from headers alone, from files, and a package that marks the brightest spot."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from models.recipes.mammography_card import DESCRIPTION
from service.dicom.header import read_attributes
from service.domain.instance import AttributeValue, Instance
from service.domain.reliability import UNDECLARED
from service.domain.result import PackageIdentity, PackageStatus

PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
VIEW_CODES = {"CC": "399162004", "MLO": "399368009"}
ACCEPTANCE: Mapping[str, Any] = DESCRIPTION["acceptance"]


def mammogram(side: str = "L", view: str = "MLO", *, sop_class: str = PRESENTATION, **changes: Any) -> Instance:
    """Return the header of a good view with changes; None deletes an attribute, "__" in a name is a dot."""
    attributes: dict[str, AttributeValue] = {
        "Modality": "MG",
        "ImageType": ("ORIGINAL", "PRIMARY"),
        "PresentationIntentType": "FOR PROCESSING" if sop_class == PROCESSING else "FOR PRESENTATION",
        "ImageLaterality": side,
        "ViewPosition": view,
        "ViewCodeSequence.CodeValue": VIEW_CODES.get(view, "399260004"),
        "ImagerPixelSpacing": (0.1, 0.1),
        "BodyPartExamined": "BREAST",
        "BreastImplantPresent": "NO",
        "PartialView": "NO",
        "PatientSex": "F",
        "InstanceNumber": 1,
    }
    for keyword, value in changes.items():
        attributes[keyword.replace("__", ".")] = value
        if value is None:
            del attributes[keyword.replace("__", ".")]
    return _instance(f"2.25.{side}.{view}.{sop_class}", sop_class, Path("absent.dcm"), attributes)


def from_file(path: Path, **changes: AttributeValue) -> Instance:
    """Return a file's instance as the ledger would know it, some attributes changed."""
    attributes = {**read_attributes(path), **changes}
    uid, sop_class = str(attributes["SOPInstanceUID"]), str(attributes["SOPClassUID"])
    return _instance(uid, sop_class, path, attributes)


def _instance(uid: str, sop_class: str, path: Path, attributes: Mapping[str, AttributeValue]) -> Instance:
    return Instance(
        sop_instance_uid=uid,
        sop_class_uid=sop_class,
        study_instance_uid=str(attributes.get("StudyInstanceUID", "2.25.1")),
        series_instance_uid=str(attributes.get("SeriesInstanceUID", "2.25.2")),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "0" * 64,
        size_bytes=1,
        attributes=attributes,
    )


class BrightestSpot:
    """A package whose detector is a rule: it marks the brightest 6 mm of the canvas, so that places can be checked."""

    identity = PackageIdentity(name="spot", version="0", sha256="0" * 64, status=PackageStatus.DEMONSTRATION)
    parameters: Mapping[str, Any] = {
        "pixel_spacing_mm": 0.4,
        "canvas": [704, 448],
        "percentiles": [1.0, 99.0],
        "cam_full_scale": 1.0,
    }
    acceptance = ACCEPTANCE
    operating_points: Mapping[str, float] = {"display": 0.5, "triage": 0.5}
    triage_operating_point = "triage"
    reliability = UNDECLARED

    def run(self, graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return one mark around the brightest spot of each canvas, and a map that is hot there."""
        assert graph == "detector"
        image = inputs["image"]
        assert image.shape[1:] == (2, 704, 448)
        assert image.dtype == np.float32
        spots = [_spot(canvas) for canvas in image]
        cams = np.zeros((len(image), 1, 44, 28), dtype=np.float32)
        for cam, (row, column) in zip(cams, spots, strict=True):
            cam[0, row // 16, column // 16] = 2.0
        marks = [
            [[column - 15, row - 15, column + 15, row + 15, 0.9, 0], [0, 0, 10, 10, 0.1, 0]] for row, column in spots
        ]
        logits = np.full(len(image), 2.0, np.float32)
        return {"marks": np.array(marks, dtype=np.float32), "image_logit": logits, "raw_cam": cams}


def _spot(canvas: np.ndarray) -> tuple[int, int]:
    inner = ndimage.minimum_filter(canvas[1], size=31) > 0.5
    bright = ndimage.gaussian_filter(canvas[0], 8, truncate=2)
    row, column = np.unravel_index(np.argmax(bright * inner), inner.shape)
    return int(row), int(column)
