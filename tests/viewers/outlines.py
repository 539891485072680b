# SPDX-License-Identifier: Apache-2.0
"""What a TID 1500 report says is to be drawn, read from its content tree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

MEASUREMENTS, GROUP, REGION, TRACKING = "126010", "125007", "111030", "112040"


@dataclass(frozen=True, eq=False)
class Outline:
    """An outline on an image: (n, 2) columns and rows, 0 at the outer corner of the first pixel (PS3.3 C.18.6)."""

    sop_instance_uid: str
    points: NDArray[np.float64]
    tracking_uid: str = ""


def outlines_of(report: Dataset) -> list[Outline]:
    """Return the outlines of all measurement groups."""
    return [_outline(group) for group in _named(_named(report, MEASUREMENTS)[0], GROUP)]


def _outline(group: Dataset) -> Outline:
    (region,) = _named(group, REGION)
    (image,) = region.ContentSequence
    return Outline(
        sop_instance_uid=str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID),
        points=np.array(region.GraphicData, dtype=np.float64).reshape(-1, 2),
        tracking_uid=str(_named(group, TRACKING)[0].UID),
    )


def _named(item: Dataset, code: str) -> list[Dataset]:
    """The children of an item with a concept name."""
    children = [child for child in item.ContentSequence if "ConceptNameCodeSequence" in child]
    return [child for child in children if child.ConceptNameCodeSequence[0].CodeValue == code]
