# SPDX-License-Identifier: Apache-2.0
"""Splits images by patient, and refuses splits through which a patient or an image leaks."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from models.data.problem import DataError
from models.data.site import LabelledImage

_SHOWN = 5


def split_by_patient(
    images: Sequence[LabelledImage], *, folds: int, seed: int = 0
) -> tuple[tuple[LabelledImage, ...], ...]:
    """Return `folds` parts with each label's and site's share in all of them, no patient in two; seeded.

    Raises
    ------
    DataError
        Fewer patients with one of the labels than folds, or the same pixels under patients of two parts.
    """
    for positive in (True, False):
        patients = {image.patient for image in images if image.positive == positive}
        if len(patients) < folds:
            what = "positive" if positive else "negative"
            raise DataError(f"{len(patients)} patients are {what}, {folds} parts need at least one each; ask for fewer")
    strata = _strata(images, folds)
    groups = [image.patient for image in images]
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(strata, strata, groups)
    parts = tuple(tuple(images[index] for index in held) for _, held in split)
    refuse_leakage({f"part {number}": part for number, part in enumerate(parts, start=1)})
    return parts


def _strata(images: Sequence[LabelledImage], folds: int) -> NDArray[np.str_]:
    """Return site and label of each image, or the label alone where any such pair has fewer images than folds."""
    label = np.array(["+" if image.positive else "-" for image in images])
    both = np.char.add(np.array([image.site for image in images]), label)
    return np.asarray(both if np.unique(both, return_counts=True)[1].min() >= folds else label)


def refuse_leakage(parts: Mapping[str, Sequence[LabelledImage]]) -> None:
    """Check that no patient and no pixels are in two parts; images whose pixels were not read count by patient alone.

    Raises
    ------
    DataError
        Names the patients and images that are.
    """
    patients, pixels = defaultdict(set), defaultdict(set)
    files: dict[str, list[str]] = defaultdict(list)
    for name, images in parts.items():
        for image in images:
            patients[image.patient].add(name)
            if image.pixels_sha256:
                pixels[image.pixels_sha256].add(name)
                files[image.pixels_sha256].append(image.image.file)
    told = [f"patient {patient} is in {_and(where)}" for patient, where in patients.items() if len(where) > 1]
    told += [
        f"{_and(files[digest])} hold the same pixels, in {_and(where)}"
        for digest, where in pixels.items()
        if len(where) > 1
    ]
    if told:
        more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        raise DataError(f"the parts leak: {'; '.join(told[:_SHOWN])}{more}; split again by patient, without duplicates")


def _and(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))
