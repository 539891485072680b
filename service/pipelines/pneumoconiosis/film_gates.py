# SPDX-License-Identifier: Apache-2.0
"""Gates G1 and G2: whether the pixels are those of a chest film, the right way round, with two plausible lungs."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from service.domain.image import Radiograph
from service.domain.result import Reason
from service.imaging.masks import bounding_box
from service.imaging.percentiles import percentiles
from service.imaging.radiograph import mediastinum_contrast
from service.pipelines.pneumoconiosis.lungs import Film, FloatImage, Lungs

Acceptance = Mapping[str, Any]
Values = dict[str, float]


def measure_pixels(radiograph: Radiograph) -> Values:
    """Measure grey values of the image content, padding left out; saturation over the middle of the film alone."""
    valid = radiograph.pixels[~radiograph.padding]
    low, high = percentiles(valid, (1, 99)) if valid.size else (0.0, 0.0)
    rows, columns = radiograph.pixels.shape
    middle = radiograph.pixels[rows // 4 : -(rows // 4), columns // 4 : -(columns // 4)]
    return {
        "grey_range": float(high - low),
        "saturated_share": float(np.mean((middle <= 0) | (middle >= 1))) if middle.size else 1.0,
        "mediastinum_contrast": mediastinum_contrast(radiograph.pixels),
    }


def pixel_reasons(values: Mapping[str, float], acceptance: Acceptance) -> tuple[Reason, ...]:
    """Refuse what is flat or burnt out (G1)."""
    reasons = []
    if values["grey_range"] < acceptance["grey_range_min"]:
        reasons.append(
            Reason(
                code="dynamic_range",
                message=f"grey values span {values['grey_range']:.2f} of the display range; "
                f"{acceptance['grey_range_min']:g} is the least; check window and exposure",
            )
        )
    if values["saturated_share"] > acceptance["saturated_share_max"]:
        reasons.append(
            Reason(
                code="saturation",
                message=f"{100 * values['saturated_share']:.0f} % of the film's middle is black or white; at most "
                f"{100 * acceptance['saturated_share_max']:.0f} % is accepted; check window and exposure",
            )
        )
    return tuple(reasons)


def measure_lungs(film: Film, lungs: Lungs, probabilities: FloatImage) -> Values:
    """Measure the masks: areas, symmetry, order of sides, certainty, cut-off, and grey of lungs against heart."""
    right, left = lungs.areas_cm2(film.pixel_mm)
    return {
        "right_lung_cm2": right,
        "left_lung_cm2": left,
        "lung_ratio": min(right, left) / max(right, left, 1e-6),
        "lung_certainty": _certainty(probabilities[:2]),
        "heart_certainty": _certainty(probabilities[2:]),
        "right_lung_left_of_left_lung": _column_of(lungs.left) - _column_of(lungs.right),
        "lung_at_edge_mm": _edge_mm(film, lungs),
        "lung_darkness": _darkness(film, lungs),
        "heart_side": _heart_side(lungs),
    }


def sureness(probabilities: FloatImage) -> float:
    """Return how sure the network is of the lungs and of the heart, added up: 0 where it sees neither, 2 at most."""
    return _certainty(probabilities[:2]) + _certainty(probabilities[2:])


def _certainty(probabilities: FloatImage) -> float:
    """Return the mean probability inside the masks; near 0.5 the network does not know."""
    inside = probabilities[probabilities > 0.5]
    return float(inside.mean()) if inside.size else 0.0


def _column_of(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    columns = np.flatnonzero(mask.any(axis=0))
    return float(columns.mean() / mask.shape[1]) if columns.size else 0.0


def _edge_mm(film: Film, lungs: Lungs) -> float:
    """Return how much of the film's border is lung, mm."""
    both = lungs.both
    touching = sum(int(line.sum()) for line in (both[0], both[-1], both[:, 0], both[:, -1]))
    return touching * film.pixel_mm


def _darkness(film: Film, lungs: Lungs) -> float:
    """Return how much brighter the heart (or, without one, what lies between the lungs) is than the lungs."""
    both, middle = lungs.both, lungs.heart if lungs.heart.any() else _between(lungs)
    if not both.any() or not middle.any():
        return 0.0
    return float(np.median(film.pixels[middle]) - np.median(film.pixels[both]))


def _between(lungs: Lungs) -> np.ndarray[Any, np.dtype[np.bool_]]:
    between = np.zeros_like(lungs.right)
    right, left = bounding_box(lungs.right), bounding_box(lungs.left)
    if right and left:
        between[max(right[1], left[1]) : min(right[3], left[3]), right[2] : left[0]] = True
    return between


def _heart_side(lungs: Lungs) -> float:
    """Return where the heart lies between the lungs' outer borders: -0.5 far right of the patient, 0.5 far left."""
    both, heart = bounding_box(lungs.both), np.flatnonzero(lungs.heart.any(axis=0))
    if both is None or heart.size == 0:
        return 0.0
    centre = np.average(np.arange(lungs.heart.shape[1]), weights=lungs.heart.sum(axis=0))
    return float((centre - both[0]) / (both[2] - both[0]) - 0.5)


def anatomy_reasons(values: Mapping[str, float], acceptance: Acceptance) -> tuple[Reason, ...]:
    """Refuse what does not look like two lungs on a frontal film (G2)."""
    reasons = list(_area_reasons(values, acceptance))
    checks = (
        ("lung_ratio", values["lung_ratio"] < acceptance["lung_ratio_min"], "one lung field is far smaller"),
        ("lung_certainty", values["lung_certainty"] < acceptance["lung_certainty_min"], "lung borders are not clear"),
        ("heart_certainty", values["heart_certainty"] < acceptance["heart_certainty_min"], "no clear heart is seen"),
        ("lung_sides", values["right_lung_left_of_left_lung"] < 0.1, "the lungs do not lie side by side"),
        (
            "polarity",
            _is_inverted(values, acceptance),
            "lungs are not darker than the heart; check Photometric Interpretation",
        ),
    )
    reasons += [
        Reason(code=code, message=f"{text} ({_shown(values, code)})") for code, failed, text in checks if failed
    ]
    return tuple(reasons)


def _area_reasons(values: Mapping[str, float], acceptance: Acceptance) -> Iterator[Reason]:
    least, most = acceptance["lung_area_cm2"]
    right, left = values["right_lung_cm2"], values["left_lung_cm2"]
    if not (least <= right <= most and least <= left <= most):
        yield Reason(
            code="lung_area",
            message=f"lung fields measure {right:.0f} (right) and {left:.0f} cm2 (left); {least} to {most} cm2 is "
            "accepted; is this a PA chest film with both lungs on it, and is its pixel spacing true?",
        )


def _is_inverted(values: Mapping[str, float], acceptance: Acceptance) -> bool:
    least = acceptance["lung_darkness_min"], acceptance["mediastinum_contrast_min"]
    return bool(values["lung_darkness"] < least[0] or values["mediastinum_contrast"] < least[1])


def _shown(values: Mapping[str, float], code: str) -> str:
    measure = {"lung_sides": "right_lung_left_of_left_lung", "polarity": "mediastinum_contrast"}.get(code, code)
    return f"{measure.replace('_', ' ')} {values[measure]:.2f}"


def anatomy_flags(values: Mapping[str, float], acceptance: Acceptance) -> tuple[Reason, ...]:
    """Note a cut-off lung and a heart on the wrong side."""
    flags = []
    if values["lung_at_edge_mm"] > acceptance["lung_at_edge_max_mm"]:
        flags.append(
            Reason(
                code="lung_cut_off",
                message=f"{values['lung_at_edge_mm']:.0f} mm of the film's edge is lung; part of it may be missing",
            )
        )
    if values["heart_side"] < acceptance["heart_side_min"]:
        flags.append(
            Reason(
                code="heart_side",
                message="the heart lies to the patient's right; check (0020,0020) Patient Orientation and the marker",
            )
        )
    return tuple(flags)
