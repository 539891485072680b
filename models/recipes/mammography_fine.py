# SPDX-License-Identifier: Apache-2.0
"""Phantom mammograms at 0.1 mm: the breast as the node cuts it out for its finer graphs, beside the detector's canvas.

The pixels take the node's own way: one radiograph, from which both spacings are made.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.phantoms.mammogram.acquisition import random_scanner
from models.phantoms.mammogram.breast import SIDES, VIEWS, Breast, Kind, ViewName, random_breast
from models.phantoms.mammogram.files import ORIENTATIONS
from models.phantoms.mammogram.view import PhantomView, draw_view
from models.recipes.mammography_card import DESCRIPTION
from models.recipes.mammography_data import CANVAS, SHARES, SPACING_MM, Place, Sample, with_lesions
from service.domain.image import Affine, Radiograph
from service.domain.result import Reason
from service.pipelines.mammography.anatomy import BreastPicture, find_breast
from service.pipelines.mammography.canvas import place
from service.pipelines.mammography.fine import fine_view

FINE_MM = 0.1
FINE_PERCENTILES = (1.0, 100.0)
"""Grey values that become 0 and 1: calcifications in the densest tissue must not be cut off."""
DETECTOR_MM = (240.0, 140.0)
"""Height and width of the detector: no phantom breast is deeper, and what is air need not be drawn."""
TRAINED: Mapping[Kind, float] = MappingProxyType({"mass": 0.3, "distortion": 0.1, "cluster": 0.6})
"""Lesions of the views that the finer graphs are fitted to: clusters are what they are for."""
TRAINED_COUNTS = (0.2, 0.35, 0.3, 0.15)
MEASURED: Mapping[Kind, float] = MappingProxyType({"mass": 0.4, "distortion": 0.2, "cluster": 0.4})
"""Lesions of the views that the finer graphs are measured on: enough of each kind."""
MEASURED_COUNTS = (0.4, 0.4, 0.2)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DrawnView:
    """A view as the node shows it, and its truth: lesions in the radiograph's pixels, `kinds` what each is.

    The views of a breast list its lesions in one order; `breast` names it, the exam before the last hyphen.
    """

    radiograph: Radiograph
    breast: str
    view: ViewName
    lesions: tuple[Place, ...]
    kinds: tuple[tuple[Kind, ...], ...]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FineSample:
    """One view at both spacings.

    `image` is float16 (2, rows, columns) at 0.1 mm; `lesions` are places in its pixels, `kinds` what each is; `sample`
    is the same view on the detector's canvas, and `from_canvas` maps the canvas's pixels to this picture's.
    """

    image: NDArray[np.float16]
    lesions: tuple[Place, ...]
    kinds: tuple[tuple[Kind, ...], ...]
    sample: Sample
    from_canvas: Affine

    @property
    def targets(self) -> NDArray[np.float64]:
        """Column, row, radius and channel 0 of the clusters, (n, 4)."""
        return np.array([(*each, 0) for each in self.of_kind("cluster")], dtype=np.float64).reshape(-1, 4)

    def of_kind(self, kind: Kind) -> tuple[Place, ...]:
        """Return the lesions of a kind; one that is of two is in both."""
        return of_kind(self.lesions, self.kinds, kind)


def draw_views(
    first_seed: int,
    exams: int,
    *,
    shift: float = 1.0,
    shares: Mapping[Kind, float] = SHARES,
    counts: tuple[float, ...] = (0.5, 0.4, 0.1),
) -> Iterator[DrawnView]:
    """Yield the four views of each exam; they take two seconds each."""
    for seed in range(first_seed, first_seed + exams):
        rng = np.random.default_rng([seed, 72])
        scanner = random_scanner(rng, shift=shift)
        breasts = [with_lesions(random_breast(side, seed), rng, shares=shares, counts=counts) for side in SIDES]
        for breast in breasts:
            for view in VIEWS:
                drawn = draw_view(breast, view, pitch_mm=FINE_MM, size_mm=DETECTOR_MM, scanner=scanner)
                yield as_drawn(drawn, breast, view, name=f"{seed}-{breast.side}")


def draw_fine(
    first_seed: int,
    exams: int,
    *,
    shift: float = 1.0,
    shares: Mapping[Kind, float] = SHARES,
    counts: tuple[float, ...] = (0.5, 0.4, 0.1),
) -> Iterator[FineSample]:
    """Yield what `draw_views` does, at both spacings; 16 MB each."""
    yield from map(fine_sample, draw_views(first_seed, exams, shift=shift, shares=shares, counts=counts))


def as_drawn(drawn: PhantomView, breast: Breast, view: ViewName, *, name: str) -> DrawnView:
    """Return a phantom's picture as the node would show it, with the chest wall on the left for either side."""
    radiograph = Radiograph(
        sop_instance_uid="2.25.1",
        pixels=np.clip(drawn.grey, 0, 1),
        padding=np.zeros(drawn.grey.shape, dtype=np.bool_),
        pixel_spacing_mm=(drawn.pitch_mm, drawn.pitch_mm),
        patient_orientation=("A", ORIENTATIONS[breast.side, view][1]),
        laterality=breast.side,
        source_shape=(drawn.grey.shape[0], drawn.grey.shape[1]),
    )
    return DrawnView(radiograph=radiograph, breast=name, view=view, lesions=drawn.lesions, kinds=drawn.kinds)


def fine_sample(drawn: DrawnView) -> FineSample:
    """Return a drawn view at both spacings.

    Raises
    ------
    ValueError
        The node would refuse the picture; the message says why.
    """
    found = breast_of(drawn)
    coarse = place(found.grey, found.mask, shape=CANVAS)
    to_radiograph = coarse.to_picture.then(found.to_radiograph)
    fine = fine_view(drawn.radiograph, found, spacing_mm=FINE_MM, percentiles=FINE_PERCENTILES)
    to_fine = fine.to_radiograph.inverse()
    lesions = _moved(drawn.lesions, to_fine)
    on_canvas = _moved(drawn.lesions, to_radiograph.inverse())
    return FineSample(
        image=fine.tensor.astype(np.float16),
        lesions=lesions,
        kinds=drawn.kinds,
        sample=Sample(
            breast=drawn.breast,
            image=coarse.tensor.astype(np.float16),
            masses=of_kind(on_canvas, drawn.kinds, "mass"),
            distortions=of_kind(on_canvas, drawn.kinds, "distortion"),
            clusters=of_kind(on_canvas, drawn.kinds, "cluster"),
        ),
        from_canvas=to_radiograph.then(to_fine),
    )


def breast_of(drawn: DrawnView) -> BreastPicture:
    """Return the breast as the node finds it.

    Raises
    ------
    ValueError
        The node would refuse the picture; the message says why.
    """
    found = find_breast(drawn.radiograph, drawn.breast, acceptance=DESCRIPTION["acceptance"], spacing_mm=SPACING_MM)
    if isinstance(found, Reason):
        raise ValueError(found.message)  # noqa: TRY004 - a refused picture, no wrong type
    return found


def of_kind(lesions: Sequence[Place], kinds: Sequence[tuple[Kind, ...]], kind: Kind) -> tuple[Place, ...]:
    """Return the lesions that are of a kind."""
    return tuple(each for each, its in zip(lesions, kinds, strict=True) if kind in its)


def _moved(lesions: Sequence[Place], to: Affine) -> tuple[Place, ...]:
    """Return the lesions in other pixels, square ones."""
    return tuple((*to.apply((x, y)), radius * abs(to.a)) for x, y, radius in lesions)
