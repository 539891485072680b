# SPDX-License-Identifier: Apache-2.0
"""Phantom mammograms as the detector sees them: drawn at 0.4 mm and normalised as the node does it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.phantoms.mammogram.acquisition import random_scanner
from models.phantoms.mammogram.breast import (
    SIDES,
    VIEWS,
    Breast,
    Kind,
    Lesion,
    random_breast,
    random_cluster,
    random_distortion,
    random_lesion,
)
from models.phantoms.mammogram.view import PhantomView, draw_view
from service.imaging.masks import breast_mask
from service.pipelines.mammography.canvas import place

CANVAS = (704, 448)
SPACING_MM = 0.4
Place = tuple[float, float, float]
"""Column, row and radius, in pixels."""
MARKED: tuple[Kind, ...] = ("mass",)
"""What the detector at 0.4 mm looks for, in the order of its channels; distortions and clusters are of other graphs."""
MOST_SPECKS = 7
SHARES: Mapping[Kind, float] = MappingProxyType({"mass": 0.6, "distortion": 0.2, "cluster": 0.2})
"""How often a lesion is of which kind."""
COUNTS = (0.5, 0.4, 0.1)
"""Chances of no, one and two lesions in a breast."""
_DRAW: Mapping[Kind, Callable[[Breast, int], Lesion]] = MappingProxyType(
    {"mass": random_lesion, "distortion": random_distortion, "cluster": random_cluster}
)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Sample:
    """One view: the canvas as float16 (2, rows, columns) and its lesions by kind, in the canvas's pixels."""

    breast: str
    image: NDArray[np.float16]
    masses: tuple[Place, ...]
    distortions: tuple[Place, ...] = ()
    clusters: tuple[Place, ...] = ()

    @property
    def exam(self) -> str:
        """The body: both breasts of one exam."""
        return self.breast.rsplit("-", 1)[0]

    @property
    def is_marked(self) -> bool:
        """Whether there is anything that the detector at 0.4 mm looks for."""
        return self.bears(MARKED)

    def bears(self, kinds: Iterable[str]) -> bool:
        """Return whether there is a lesion of one of the kinds."""
        return any(self.of_kind(kind) for kind in kinds)

    @property
    def targets(self) -> NDArray[np.float64]:
        """Column, row, radius and channel of what the detector at 0.4 mm looks for, (n, 4)."""
        found = [(*place, channel) for channel, kind in enumerate(MARKED) for place in self.of_kind(kind)]
        return np.array(found, dtype=np.float64).reshape(-1, 4)

    def of_kind(self, kind: str) -> tuple[Place, ...]:
        """Return the lesions of a kind; one that is of two, such as a mass with a cluster, is in both."""
        return {"mass": self.masses, "distortion": self.distortions, "cluster": self.clusters}[kind]


def draw_samples(
    first_seed: int,
    exams: int,
    *,
    shift: float = 1.0,
    shares: Mapping[Kind, float] = SHARES,
    counts: tuple[float, ...] = COUNTS,
) -> list[Sample]:
    """Draw the four views of each exam; every second breast bears a lesion."""
    seeds = range(first_seed, first_seed + exams)
    return [sample for seed in seeds for sample in _draw_exam(seed, shift=shift, shares=shares, counts=counts)]


def _draw_exam(seed: int, *, shift: float, shares: Mapping[Kind, float], counts: tuple[float, ...]) -> list[Sample]:
    rng = np.random.default_rng([seed, 71])
    scanner = random_scanner(rng, shift=shift)
    breasts = [with_lesions(random_breast(side, seed), rng, shares=shares, counts=counts) for side in SIDES]
    return [
        sample_of(f"{seed}-{breast.side}", draw_view(breast, view, scanner=scanner))
        for breast in breasts
        for view in VIEWS
    ]


def with_lesions(
    breast: Breast,
    rng: np.random.Generator,
    *,
    shares: Mapping[Kind, float] = SHARES,
    counts: tuple[float, ...] = COUNTS,
) -> Breast:
    """Return the breast with lesions and single calcifications; `counts` are the chances of 0, 1, 2 ... lesions."""
    count = int(rng.choice(len(counts), p=counts))
    kinds = [tuple(shares)[int(rng.choice(len(shares), p=tuple(shares.values())))] for _ in range(count)]
    lesions = tuple(_DRAW[kind](breast, int(rng.integers(2**31))) for kind in kinds)
    return replace(breast, lesions=lesions, specks=int(rng.integers(MOST_SPECKS + 1)))


def sample_of(breast: str, view: PhantomView) -> Sample:
    """Return a view that was drawn at 0.4 mm as the detector sees it."""
    canvas = place(view.grey, breast_mask(view.grey), shape=CANVAS)
    to_canvas = canvas.to_picture.inverse()

    def of_kind(kind: Kind) -> tuple[Place, ...]:
        return tuple((*to_canvas.apply((x, y)), radius) for x, y, radius in view.of_kind(kind))

    return Sample(
        breast=breast,
        image=canvas.tensor.astype(np.float16),
        masses=of_kind("mass"),
        distortions=of_kind("distortion"),
        clusters=of_kind("cluster"),
    )
