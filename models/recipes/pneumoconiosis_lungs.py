# SPDX-License-Identifier: Apache-2.0
"""Lung masks of real films as a package answers them, kept only where they are plausible; packed into a file.

`python -m models.recipes.pneumoconiosis_lungs --films FOLDER --package FOLDER` writes the committed file again: what
the next lung finder is taught. The first was made with the finder of 0.1.0, which had seen phantoms alone.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from models.recipes.pneumoconiosis_films import find_films, listed_films, read_film
from service.domain.image import IDENTITY
from service.imaging.masks import remove_thin
from service.inference.package import load_package
from service.pipelines.pneumoconiosis.lungs import (
    SEGMENTATION_SHAPE,
    Film,
    FloatImage,
    Lungs,
    lungs_from,
    segmentation_input,
)

Mask = NDArray[np.bool_]
Answer = Callable[[FloatImage], FloatImage]
MASKS = Path(__file__).with_name("pneumoconiosis_masks.npz")
_GAMMAS = (0.6, 1.0, 1.6)
_AGREEMENT, _SOLIDITY, _RATIO, _THIN_SHARE = 0.94, 0.85, 0.55, 0.05
LEFT_OUT = frozenset(
    f"0000{name}.png"
    for name in (
        "1616_008",
        "2933_001",
        "3120_000",
        "3310_000",
        "3428_002",
        "3552_005",
        "4490_008",
        "8230_013",
        "8715_000",
    )
) | {"00010505_018.png", "00010531_058.png"}
"""Passed every measure, yet has a spur into the armpit, the neck or the abdomen: seen by eye."""
_SMALLEST_SHARE = 0.03
"""Of the letter-boxed film: a smaller lung is a child's far away, or no lung."""


def teach(answer: Answer, film: Film) -> Mask | None:
    """Return the masks (3, 256, 256) of a letter-boxed film, or None where they are not plausible.

    `answer` maps (1, 1, 256, 256) to probabilities (1, 3, 256, 256): a package's `lungseg`.
    """
    boxed, _ = segmentation_input(film.pixels)
    answers = [answer(boxed**gamma)[0] for gamma in _GAMMAS]
    mean: FloatImage = np.stack(answers).mean(axis=0)
    lungs = lungs_from(mean, IDENTITY, shape=SEGMENTATION_SHAPE)
    if not plausible(lungs) or _agreement(answers, mean) < _AGREEMENT:
        return None
    return np.stack([_smooth(mask) for mask in (lungs.right, lungs.left, lungs.heart)])


def _agreement(answers: list[FloatImage], mean: FloatImage) -> float:
    """Return the least Dice of any answer's lungs with those of the mean."""
    both = _either(mean)
    return min(_dice(_either(answer), both) for answer in answers)


def _either(probabilities: FloatImage) -> Mask:
    return np.asarray((probabilities[:2] > 0.5).any(axis=0))


def _dice(a: Mask, b: Mask) -> float:
    return float(2 * (a & b).sum() / max(int(a.sum() + b.sum()), 1))


def plausible(lungs: Lungs) -> bool:
    """Whether both masks are large, alike in size, compact and free of spurs, with a heart between them."""
    areas = [int(mask.sum()) for mask in (lungs.right, lungs.left)]
    if min(areas) < _SMALLEST_SHARE * lungs.right.size or min(areas) < _RATIO * max(areas) or not lungs.heart.any():
        return False
    return all(_solidity(mask) >= _SOLIDITY and _thin_share(mask) <= _THIN_SHARE for mask in (lungs.right, lungs.left))


def _solidity(mask: Mask) -> float:
    """Return the mask's area as a share of its convex hull's."""
    return float(mask.sum() / ConvexHull(np.argwhere(mask)).volume)


def _thin_share(mask: Mask) -> float:
    """Return which share of the mask is narrower than 9 pixels: spurs into the armpit, and a costophrenic angle."""
    return float(1 - remove_thin(mask, 4).sum() / mask.sum())


def _smooth(mask: Mask) -> Mask:
    return np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), 1.5) > 0.5)


def write_masks(path: Path, masks: Mapping[str, Mask]) -> None:
    """Write masks by image name, eight pixels a byte."""
    names = sorted(masks)
    packed = np.packbits(np.stack([masks[name] for name in names]), axis=-1)
    np.savez_compressed(path, allow_pickle=False, names=np.array(names), packed=packed)


def read_masks(path: Path = MASKS) -> dict[str, Mask]:
    """Return masks (3, 256, 256) of letter-boxed films by image name: right lung, left lung, heart."""
    with np.load(path, allow_pickle=False) as file:
        masks = np.unpackbits(file["packed"], axis=-1).astype(np.bool_)
        return dict(zip(file["names"].tolist(), masks, strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the masks of the training and tuning films."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=Path, required=True, help="folder of the listed radiographs")
    parser.add_argument("--package", type=Path, required=True, help="folder of the package whose lungseg teaches")
    parser.add_argument("--out", type=Path, default=MASKS)
    options = parser.parse_args(arguments)
    package = load_package(options.package, provider="cpu")
    films = [film for film in listed_films() if film.split != "held-back" and film.image not in LEFT_OUT]
    paths = find_films(options.films, films)
    found = {}
    for film in films:
        masks = teach(
            lambda boxed: package.run("lungseg", {"film": boxed})["masks"], read_film(paths[film.image], film)
        )
        if masks is not None:
            found[film.image] = masks
    write_masks(options.out, found)


if __name__ == "__main__":
    main()
