# SPDX-License-Identifier: Apache-2.0
"""Patches with their class: pure textures, and cut from phantom chests exactly as the pipeline cuts them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.phantoms.computed_tomography import (
    NOT_LUNG,
    PATTERNS,
    ChestPhantom,
    Involvement,
    Scanner,
    Slice,
    texture_patch,
)
from service.imaging.normalise import window_ct
from service.imaging.resample import resample_mm
from service.pipelines.diffuse_lung.lungs import find_lungs
from service.pipelines.diffuse_lung.patches import PatchRecipe, cut_patches, tile

RECIPE = PatchRecipe()
PAINTED = tuple(name for name in PATTERNS if name not in {"normal", "single_cyst"})
"""Patterns that can fill a region; one cyst is too far from the next to give every patch there its class."""

_PER_CLASS_OF_A_SLICE = 25
DrawScanner = Callable[[np.random.Generator], Scanner]


@dataclass(frozen=True, slots=True)
class Patches:
    """Patches (N, 1, 48, 48) in [0, 1], the index of their pattern, and the name of the body that each is of."""

    images: NDArray[np.float32]
    classes: NDArray[np.int64]
    bodies: NDArray[np.str_]

    def joined(self, *others: "Patches") -> "Patches":
        """Return these patches and then the others."""
        parts = (self, *others)
        return Patches(
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.classes for part in parts]),
            np.concatenate([part.bodies for part in parts]),
        )

    def where(self, chosen: NDArray[np.bool_]) -> "Patches":
        """Return the chosen patches."""
        return Patches(self.images[chosen], self.classes[chosen], self.bodies[chosen])


def mixed_scanner(shares: Mapping[DrawScanner, float]) -> DrawScanner:
    """Return a function that draws from one of several kinds of scanner; a single kind takes no random number more."""
    kinds = [kind for kind, share in shares.items() if share > 0]
    if len(kinds) == 1:
        return kinds[0]
    weights = np.array([shares[kind] for kind in kinds])

    def draw(rng: np.random.Generator) -> Scanner:
        return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))](rng)

    return draw


def pure_patches(per_class: int, *, seed: int, scanner: DrawScanner) -> Patches:
    """Draw the same number of texture patches of every pattern."""
    low, high = RECIPE.window_hu
    images, classes, bodies = [], [], []
    for index, pattern in enumerate(PATTERNS):
        for number in range(per_class):
            rng = np.random.default_rng([seed, index, number])
            patch = texture_patch(pattern, rng=rng, pixel_mm=RECIPE.pixel_mm, scanner=scanner(rng))
            images.append(window_ct(patch, low=low, high=high)[None])
            classes.append(index)
            bodies.append(f"texture-{seed}-{index}-{number}")
    return Patches(np.stack(images), np.array(classes), np.array(bodies))


def chest_patches(chests: int, *, seed: int, scanner: DrawScanner) -> Patches:
    """Cut patches from two slices of each of many phantom chests that have one or two patterns."""
    first, *others = (
        _slice_patches(section, seed, body=body) for body, section in _slices(chests, seed=seed, scanner=scanner)
    )
    return first.joined(*others)


def _slices(chests: int, *, seed: int, scanner: DrawScanner) -> Iterator[tuple[str, Slice]]:
    for number in range(chests):
        rng = np.random.default_rng([seed, number])
        names = rng.choice(PAINTED, size=2, replace=False)
        involvements = tuple(_involvement(str(name), rng) for name in names[: rng.integers(1, 3)])
        chest = ChestPhantom(
            seed=seed * 10_000 + number,
            involvements=involvements,
            pixel_mm=float(rng.uniform(0.64, 0.78)),
            scanner=scanner(rng),
        )
        for index in rng.choice(np.arange(1, 23), size=2, replace=False):
            yield f"chest-{seed}-{number}", chest.slice(int(index))


def _involvement(pattern: str, rng: np.random.Generator) -> Involvement:
    depth = None if rng.uniform() < 0.5 else float(rng.uniform(14, 45))
    return Involvement(pattern=pattern, depth_mm=depth, share=float(rng.uniform(0.45, 0.9)))


def _slice_patches(section: Slice, seed: int, *, body: str) -> Patches:
    spacing = section.pixel_mm
    hounsfield, back = resample_mm(section.hounsfield, (spacing, spacing), target_mm=RECIPE.pixel_mm)
    tiling = tile(find_lungs(hounsfield, pixel_mm=RECIPE.pixel_mm), RECIPE)
    images = cut_patches(hounsfield, tiling, RECIPE)
    rows = np.floor((np.arange(hounsfield.shape[0]) + 0.5) * back.e + back.f).astype(int)
    columns = np.floor((np.arange(hounsfield.shape[1]) + 0.5) * back.a + back.c).astype(int)
    classes = _classes(section.truth[np.ix_(rows, columns)], tiling.chosen)
    keep = _some_of_each(classes, np.random.default_rng([seed, len(classes)]))
    return Patches(images[keep], classes[keep], np.full(len(keep), body))


def _classes(truth: NDArray[np.uint8], tiles: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the pattern of each patch; -1 where it is mixed or its middle is not all of one pattern."""
    return np.array([_class_of(truth, row, column) for row, column in tiles * RECIPE.stride_px], dtype=np.int64)


def _class_of(truth: NDArray[np.uint8], row: int, column: int) -> int:
    middle = _counts(truth[row : row + RECIPE.stride_px, column : column + RECIPE.stride_px])
    top, left = max(row - RECIPE.margin_px, 0), max(column - RECIPE.margin_px, 0)
    around = _counts(truth[top : top + RECIPE.patch_px, left : left + RECIPE.patch_px])
    winner = int(middle.argmax())
    certain = middle[winner] >= 0.9 * middle.sum() > 0 and around[winner] >= 0.6 * around.sum()
    return winner if certain else -1


def _counts(truth: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.bincount(truth[truth != NOT_LUNG], minlength=len(PATTERNS))


def _some_of_each(classes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
    kept = []
    for index in np.unique(classes[classes >= 0]):
        found = np.flatnonzero(classes == index)
        kept.append(rng.permutation(found)[:_PER_CLASS_OF_A_SLICE])
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, dtype=np.intp)
