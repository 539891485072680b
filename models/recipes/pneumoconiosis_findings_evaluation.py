# SPDX-License-Identifier: Apache-2.0
"""Reads large opacities and the pleura on drawn films as the pipeline does, chooses thresholds, and measures.

The lungs are those that the package finds on the very film, masses and thickening and all: what they cut off is lost.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.phantoms.chest_radiograph.pleura import FINDINGS
from models.recipes.pneumoconiosis_evaluation import Rate, rate
from models.recipes.pneumoconiosis_findings import FindingNetworks
from models.recipes.pneumoconiosis_findings_data import SIZE, FoundExample
from models.recipes.pneumoconiosis_lungs import plausible
from service.imaging.normalise import normalise_in_mask
from service.imaging.resample import letter_box
from service.pipelines.pneumoconiosis.large_opacities import LargeCategory
from service.pipelines.pneumoconiosis.lungs import Film, FloatImage, Lungs
from service.pipelines.pneumoconiosis.optional_heads import categories_of
from service.pipelines.pneumoconiosis.pleura import side_scores
from service.pipelines.pneumoconiosis.sheet import LargeOpacities

LEAST_MM2 = 60.0
"""So much of a side has to reach a pleural score."""
CUTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995)
_MOST_CALLED = 0.05
FindLungs = Callable[[Film], Lungs]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Seen:
    """A film as both networks saw it, and its truth.

    `larges` are the large opacities found at each of the thresholds that can be chosen; `scores` those of the pleura.
    """

    larges: Mapping[float, LargeOpacities]
    scores: Mapping[str, Mapping[str, float]]
    true_large: LargeOpacities
    true_pleura: Mapping[str, tuple[str, ...]]

    @property
    def has_large(self) -> bool:
        """Whether a large opacity is drawn that a reader would measure above 10 mm."""
        return self.true_large.ilo is not LargeCategory.NONE

    @property
    def is_clear_pleura(self) -> bool:
        """Whether no pleural finding is drawn."""
        return not any(self.true_pleura.values())

    def score(self, finding: str) -> float:
        """The higher score of both sides."""
        return max(found[finding] for found in self.scores.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What is called: large opacities from `large` on, each pleural finding from its own on."""

    large: float
    pleura: Mapping[str, float]


def see(examples: Iterable[FoundExample], networks: FindingNetworks, find_lungs: FindLungs) -> list[Seen]:
    """Read every film; one whose lungs are not plausible is left out, as the pipeline would refuse it."""
    seen = []
    for example in examples:
        lungs = find_lungs(example.film)
        if plausible(lungs):
            seen.append(_see(example, lungs, networks))
    return seen


@torch.no_grad()
def _see(example: FoundExample, lungs: Lungs, networks: FindingNetworks) -> Seen:
    film = example.film
    boxed, to_film = letter_box(normalise_in_mask(film.pixels, lungs.both), (SIZE, SIZE))
    shown = torch.from_numpy(boxed[None, None])
    large: FloatImage = networks.large(shown)[0].numpy()
    pleura: FloatImage = networks.pleura(shown)[0].numpy()
    right, left = (letter_box(lung, (SIZE, SIZE))[0] > 0.5 for lung in (lungs.right, lungs.left))
    return Seen(
        larges={each: categories_of(large[0], film, lungs, to_film=to_film, threshold=each) for each in CUTS},
        scores=side_scores(pleura, right, left, pixel_mm=film.pixel_mm * to_film.a, least_mm2=LEAST_MM2),
        true_large=_true_large(example),
        true_pleura={side: example.plan.pleura.findings(side) for side in ("R", "L")},
    )


def _true_large(example: FoundExample) -> LargeOpacities:
    """Measure what is drawn, inside the lungs that are drawn."""
    drawn, back = letter_box(example.places[0], (SIZE, SIZE))
    return categories_of(drawn, example.film, example.lungs, to_film=back, threshold=0.5)


def choose(normals: Sequence[Sequence[Seen]]) -> Thresholds:
    """Choose the lowest thresholds that call at most 5 % of each kind of normal films; they are for tuning alone."""
    return Thresholds(
        large=next((each for each in CUTS if _most_called(normals, each) <= _MOST_CALLED), CUTS[-1]),
        pleura={name: _pleural_threshold(normals, name) for name in FINDINGS},
    )


def _most_called(normals: Sequence[Sequence[Seen]], threshold: float) -> float:
    without = [[seen for seen in kind if not seen.has_large] for kind in normals]
    return max(float(np.mean([bool(seen.larges[threshold].opacities) for seen in kind])) for kind in without if kind)


def _pleural_threshold(normals: Sequence[Sequence[Seen]], finding: str) -> float:
    clear = [[seen.score(finding) for seen in kind if seen.is_clear_pleura] for kind in normals]
    highest = max(float(np.quantile(scores, 1 - _MOST_CALLED, method="higher")) for scores in clear if scores)
    return round(float(np.clip(highest + 0.005, 0.3, 0.995)), 3)


def metric_rows(seen: Sequence[Seen], thresholds: Thresholds, *, condition: str) -> list[dict[str, Any]]:
    """Return the rows of the model card for one condition."""
    return [*_large_rows(seen, thresholds.large, condition), *_pleural_rows(seen, thresholds, condition)]


def is_finding_row(name: str) -> bool:
    """Whether a row of metrics is one of `metric_rows`, by its name."""
    return name.startswith(_ROW_NAMES)


_ROW_NAMES = (
    "films with a large opacity",
    "films without one called large",
    "large opacity category",
    "median error of the summed diameters",
    "sides with ",
    "films of clear pleura",
)


def _large_rows(seen: Sequence[Seen], threshold: float, condition: str) -> list[dict[str, Any]]:
    there = [each for each in seen if each.has_large]
    absent = [each for each in seen if not each.has_large]
    found = [each for each in there if each.larges[threshold].opacities]
    rows = [
        _rate_row("films with a large opacity called", condition, [each in found for each in there]),
        _rate_row(
            "films without one called large", condition, [bool(each.larges[threshold].opacities) for each in absent]
        ),
        _rate_row("large opacity category, ILO rule", condition, [_ilo(each, threshold) for each in there]),
        _rate_row("large opacity category, Japanese rule", condition, [_japan(each, threshold) for each in there]),
    ]
    errors = [abs(each.larges[threshold].sum_of_longest_mm - each.true_large.sum_of_longest_mm) for each in found]
    if errors:
        rows.append(_row("median error of the summed diameters, mm", condition, float(np.median(errors)), len(errors)))
    return [row for row in rows if row is not None]


def _ilo(seen: Seen, threshold: float) -> bool:
    return seen.larges[threshold].ilo is seen.true_large.ilo


def _japan(seen: Seen, threshold: float) -> bool:
    return seen.larges[threshold].japanese is seen.true_large.japanese


def _pleural_rows(seen: Sequence[Seen], thresholds: Thresholds, condition: str) -> list[dict[str, Any]]:
    rows = []
    for finding, threshold in thresholds.pleura.items():
        sides = [
            found[finding] >= threshold
            for each in seen
            for side, found in each.scores.items()
            if finding in each.true_pleura[side]
        ]
        rows.append(_rate_row(f"sides with {_SAID[finding]} called", condition, sides))
    for finding, called in called_clear(seen, thresholds).items():
        rows.append(_rate_row(f"films of clear pleura called {_SAID[finding]}", condition, called.tolist()))
    return [row for row in rows if row is not None]


_SAID = {"thickening": "thickening", "plaque": "plaque", "calcification": "calcification", "angle": "obliterated angle"}


def called_clear(seen: Sequence[Seen], thresholds: Thresholds) -> dict[str, NDArray[np.bool_]]:
    """Return by finding which of the films of clear pleura are called, thickening with its angle alone."""
    clear = [each for each in seen if each.is_clear_pleura]
    called = {}
    for finding, threshold in thresholds.pleura.items():
        also = {"angle": thresholds.pleura["angle"]} if finding == "thickening" else {}
        called[finding] = np.array(
            [
                any(
                    found[finding] >= threshold and all(found[name] >= least for name, least in also.items())
                    for found in each.scores.values()
                )
                for each in clear
            ],
            dtype=np.bool_,
        )
    return called


def sensitivities(seen: Sequence[Seen], thresholds: Thresholds) -> dict[str, float]:
    """Return the share of films with a large opacity ("large") and of sides with each finding that are called.

    What is on none of the films is left out.
    """
    called: dict[str, list[bool]] = {
        "large": [bool(each.larges[thresholds.large].opacities) for each in seen if each.has_large]
    }
    for finding, threshold in thresholds.pleura.items():
        called[finding] = [
            found[finding] >= threshold
            for each in seen
            for side, found in each.scores.items()
            if finding in each.true_pleura[side]
        ]
    return {name: float(np.mean(found)) for name, found in called.items() if found}


def called_large(seen: Sequence[Seen], thresholds: Thresholds) -> Rate:
    """Return how many of the films without a large opacity are called."""
    return rate(np.array([bool(each.larges[thresholds.large].opacities) for each in seen if not each.has_large]))


def _rate_row(name: str, condition: str, right: Sequence[bool]) -> dict[str, Any] | None:
    if not right:
        return None
    counted = rate(np.array(right, dtype=np.bool_))
    low, high = counted.interval
    note = f"{counted.count} of {counted.cases}; 95 % interval {low:.3f} to {high:.3f} (Wilson)"
    return _row(name, condition, counted.value, counted.cases, note=note)


def _row(name: str, condition: str, value: float, cases: int, note: str = "") -> dict[str, Any]:
    row = {"name": name, "condition": condition, "value": round(value, 4), "cases": cases}
    return {**row, "note": note} if note else row
