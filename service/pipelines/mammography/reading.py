# SPDX-License-Identifier: Apache-2.0
"""Reads one view: from the stored file to marks in stored pixels, the view's score and the map that explains it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.conversion import Conversion
from service.domain.errors import InputError
from service.domain.image import Box, Point, Radiograph
from service.domain.instance import Instance
from service.domain.result import Reason
from service.imaging.masks import area_cm2, bounding_box
from service.imaging.resample import resample_box
from service.pipelines import familiarity
from service.pipelines.certainty import disagreement_flags
from service.pipelines.mammography.anatomy import BreastPicture, find_breast
from service.pipelines.mammography.canvas import Canvas, place, unplace
from service.pipelines.mammography.closer import look_closer
from service.pipelines.mammography.kinds import (
    DISTORTIONS,
    KindName,
    added_kinds,
    detector_kinds,
    display_thresholds,
)
from service.pipelines.mammography.landmarks import Landmarks, find_landmarks
from service.pipelines.mammography.marks import DetectedMark, clipped, decoded
from service.pipelines.mammography.scores import sigmoid
from service.pipelines.mammography.sectors import SectorShares, halves_of, sector_shares
from service.pipelines.mammography.showing import conversion_of, show, showing_flags
from service.pipelines.mammography.views import name_of, side_of, view_of
from service.ports import Package

GRAPH = "detector"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ViewReading:
    """What was read from one view.

    `score` is the higher of `map_score`, which the detector's map explains, and the highest score of a mark of
    `added_kinds`, which graphs beside the detector mark.
    `breast_box` and the boxes of `marks` are in pixels of `radiograph`; `attention` in [0, 1] is the class activation
    map at the network's pixel spacing, turned back as the radiograph lies; `marks` are in descending order of score;
    `distances` are those for which the package has limits. `nipple` is in pixels of `radiograph`, that
    of `landmarks` at the network's pixel spacing; `sectors` explain the score of a view with marks to show;
    `conversion` is that of a view For Processing.
    """

    instance: Instance
    radiograph: Radiograph
    score: float
    map_score: float
    marks: tuple[DetectedMark, ...]
    added_kinds: tuple[KindName, ...]
    breast_box: Box
    attention: NDArray[np.float32]
    area_cm2: float
    nipple: Point
    landmarks: Landmarks
    sectors: SectorShares | None = None
    flags: tuple[Reason, ...] = ()
    distances: Mapping[str, float] = field(default_factory=dict)
    conversion: Conversion | None = None

    @property
    def side(self) -> str:
        """ "L" or "R"."""
        return side_of(self.instance)

    @property
    def view(self) -> str:
        """ "CC" or "MLO"."""
        return view_of(self.instance)

    def from_nipple_mm(self, point: Point) -> tuple[float, float | None]:
        """Return how far a point of the radiograph lies behind the nipple, and how far above it.

        Above is outwards on a cranio-caudal view and towards the head on an oblique one; None where Patient Orientation
        does not say which way the rows run.
        """
        down, across = self.radiograph.pixel_spacing_mm or (1.0, 1.0)
        behind = abs(point[0] - self.nipple[0]) * across
        below = (point[1] - self.nipple[1]) * down
        downwards = self.rows_run_down
        return behind, None if downwards is None else -below if downwards else below

    @property
    def rows_run_down(self) -> bool | None:
        """Whether rows grow towards the foot, or on a cranio-caudal view inwards."""
        direction = (self.radiograph.patient_orientation or ("", ""))[1][:1]
        inwards = "R" if self.side == "L" else "L"
        outwards = {"R": "L", "L": "R"}[inwards]
        return {"CC": {inwards: True, outwards: False}, "MLO": {"F": True, "H": False}}[self.view].get(direction)


def read_view(instance: Instance, package: Package) -> ViewReading | Reason:
    """Decode, check and analyse one view; a reason when it cannot be used."""
    name, parameters = name_of(instance), package.parameters
    conversion = conversion_of(instance, parameters)
    try:
        radiograph = show(instance, parameters)
    except InputError as error:
        return Reason(code="pixels_unreadable", message=f"{name}: {error}")
    breast = find_breast(radiograph, name, acceptance=package.acceptance, spacing_mm=parameters["pixel_spacing_mm"])
    if isinstance(breast, Reason):
        return breast
    canvas = place(
        breast.grey,
        breast.mask,
        shape=tuple(parameters["canvas"]),
        percentiles=tuple(parameters["percentiles"]),
    )
    outputs = package.run(GRAPH, {"image": canvas.tensor[None]})
    limits = package.reliability
    distances = familiarity.measure(limits.out_of_distribution, GRAPH, outputs)
    strange = familiarity.refusals(distances, name=name)
    if strange:
        return strange[0]
    disagreement = familiarity.measure(limits.disagreement, GRAPH, outputs)
    spacing = float(parameters["pixel_spacing_mm"])
    landmarks = find_landmarks(breast.grey, breast.mask, view=view_of(instance), spacing_mm=spacing)
    map_score = sigmoid(float(outputs["image_logit"][0]))
    added = added_kinds(parameters)
    marks = marks_of(outputs["marks"][0], radiograph, breast, canvas, package)
    reading = ViewReading(
        instance=instance,
        radiograph=radiograph,
        score=max((map_score, *(mark.score for mark in marks if mark.kind in added))),
        map_score=map_score,
        marks=marks,
        added_kinds=added,
        breast_box=clipped(breast.to_radiograph.box(_box_of(breast)), radiograph.pixels.shape),
        attention=_attention(outputs["raw_cam"][0, 0], breast, canvas, parameters=parameters),
        area_cm2=area_cm2(breast.mask, (spacing, spacing)),
        nipple=breast.to_radiograph.apply(landmarks.nipple),
        landmarks=landmarks,
        flags=(
            *showing_flags(instance, conversion),
            *_flags(canvas, name),
            *disagreement_flags(disagreement, name=name),
        ),
        distances=familiarity.as_values((*distances, *disagreement)),
        conversion=conversion,
    )
    return _explained(reading, canvas, package) if _has_marks(reading, package) else reading


def _has_marks(reading: ViewReading, package: Package) -> bool:
    """Say whether the detector has anything to show: other views would cost as much, and it would explain nothing."""
    points = display_thresholds(package)
    return any(mark.kind not in reading.added_kinds and mark.score >= points[mark.kind] for mark in reading.marks)


def _explained(reading: ViewReading, canvas: Canvas, package: Package) -> ViewReading:
    """Return the reading with what each sector adds to its score."""
    sectors = sector_shares(
        canvas.tensor,
        canvas.to_picture.inverse().apply(reading.landmarks.nipple),
        package,
        graph=GRAPH,
        spacing_mm=float(package.parameters["pixel_spacing_mm"]),
        halves=halves_of(reading.view, rows_run_down=reading.rows_run_down),
    )
    return replace(reading, sectors=sectors)


def _flags(canvas: Canvas, name: str) -> tuple[Reason, ...]:
    if not canvas.cropped:
        return ()
    message = f"{name}: the breast is larger than the package's field; its rim was not analysed"
    return (Reason(code="breast_exceeds_field", message=message),)


def marks_of(
    rows: NDArray[np.float32], radiograph: Radiograph, breast: BreastPicture, canvas: Canvas, package: Package
) -> tuple[DetectedMark, ...]:
    """Return the detector's marks and what the package's other graphs add to them, in descending order."""
    to_radiograph, shape = canvas.to_picture.then(breast.to_radiograph), radiograph.pixels.shape
    found = [*decoded(rows, to_radiograph, shape=shape, kinds=detector_kinds(package.parameters))]
    if DISTORTIONS in package.parameters:
        strands = package.run(DISTORTIONS, {"image": canvas.tensor[None]})["marks"][0]
        found += decoded(strands, to_radiograph, shape=shape, kinds=("distortion",))
    return look_closer(radiograph, breast, sorted(found, key=lambda mark: -mark.score), package)


def _box_of(breast: BreastPicture) -> Box:
    box = bounding_box(breast.mask)
    return (0.0, 0.0, 1.0, 1.0) if box is None else box


def _attention(
    raw_cam: NDArray[np.float32], breast: BreastPicture, canvas: Canvas, *, parameters: Mapping[str, Any]
) -> NDArray[np.float32]:
    """Return the positive part of the map inside the breast, on the package's fixed scale, as the radiograph lies."""
    rows, columns = raw_cam.shape
    shown = np.clip(raw_cam / np.float32(parameters["cam_full_scale"]), 0, 1)
    fine, _ = resample_box(shown, (0, 0, columns, rows), shape=(canvas.tensor.shape[1], canvas.tensor.shape[2]))
    placed = unplace(fine, canvas, shape=(breast.mask.shape[0], breast.mask.shape[1])) * breast.mask
    return np.ascontiguousarray(placed[:, ::-1] if breast.mirrored else placed)
