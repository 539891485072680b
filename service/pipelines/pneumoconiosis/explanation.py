# SPDX-License-Identifier: Apache-2.0
"""Draws where the zone scores come from: the zones' class activation maps, laid back on the film."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.image import Affine, Radiograph
from service.domain.result import Heatmap, Mark
from service.imaging.resample import back_to
from service.pipelines.pneumoconiosis.lungs import Film, FloatImage, Lungs, ZoneCrop
from service.pipelines.pneumoconiosis.reading import ZoneReading

LEGEND = "Evidence for profusion 1/0 or more (class activation map); explains the zone score, detects nothing"


def evidence_map(film: Film, crops: Sequence[ZoneCrop], cams: NDArray[np.float32], *, full_logit: float) -> FloatImage:
    """Return evidence on the film in [0, 1]: local log-odds of profusion >= 1/0, 0 at even odds, 1 at `full_logit`.

    A zone's map averages to its logit over the whole crop; multiplied with the zone's share of the crop it is the
    logit that the zone would have if all of it looked like this place.
    """
    total = np.zeros(film.pixels.shape, dtype=np.float32)
    for crop, cam in zip(crops, cams, strict=True):
        local = cam[0] * np.float32(crop.tensor[1].mean())
        cell = Affine(a=crop.tensor.shape[2] / cam.shape[2], e=crop.tensor.shape[1] / cam.shape[1])
        shown = back_to(np.clip(local / full_logit, 0, 1), cell.then(crop.to_film), shape=film.pixels.shape)
        np.maximum(total, shown, out=total)
    return total


def energy_inside(evidence: FloatImage, lungs: Lungs) -> float:
    """Return the share of all evidence that lies inside the lungs; 1 when there is no evidence at all."""
    total = float(evidence.sum(dtype=np.float64))
    return float(evidence[lungs.both].sum(dtype=np.float64)) / total if total > 0 else 1.0


def heatmap(
    radiograph: Radiograph,
    film: Film,
    *,
    evidence: FloatImage,
    crops: Sequence[ZoneCrop],
    zones: Sequence[ZoneReading],
    lines: tuple[str, ...],
) -> Heatmap:
    """Return the film with evidence over the lungs and a box for each zone."""
    inside = np.zeros(evidence.shape, dtype=np.bool_)
    for crop in crops:
        inside |= crop.mask
    return Heatmap(
        key="film",
        source_sop_instance_uid=radiograph.sop_instance_uid,
        base=np.rint(np.clip(film.pixels, 0, 1) * 255).astype(np.uint8),
        overlay=np.where(inside, evidence, np.float32(0)),
        legend=LEGEND,
        patient_orientation=radiograph.patient_orientation or ("L", "F"),
        pixel_spacing_mm=(film.pixel_mm, film.pixel_mm),
        marks=tuple(_mark(crop, zone) for crop, zone in zip(crops, zones, strict=True)),
        lines=lines,
    )


def _mark(crop: ZoneCrop, zone: ZoneReading) -> Mark:
    x0, y0, x1, y1 = map(float, crop.box)
    outline = ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))
    return Mark(points=outline, caption=f"{zone.name} {zone.profusion}")
