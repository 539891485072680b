# SPDX-License-Identifier: Apache-2.0
"""Reads patches of a group's own from a file of numpy arrays, which holds no code."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.phantoms.computed_tomography import PATTERNS
from models.recipes.diffuse_lung_data import RECIPE, Patches
from models.training.recipe_file import RecipeError

ARRAYS = ("images", "classes", "patients")
"""In the file: float32 (N, 1, 48, 48) in [0, 1], int64 (N,) indices into PATTERNS, and text (N,)."""


def read_patches(path: Path) -> Patches:
    """Read the arrays `ARRAYS` of an .npz file.

    Raises
    ------
    RecipeError
        The file cannot be read or an array is missing, of another shape or type, or out of its range.
    """
    found = _arrays(path)
    images, classes, patients = (found[name] for name in ARRAYS)
    size = RECIPE.patch_px
    count = len(images)
    _check(images.shape == (count, 1, size, size), path, f"images have shape {images.shape}", f"(N, 1, {size}, {size})")
    _check(images.dtype == np.float32, path, f"images are {images.dtype}", "float32, windowed to 0 to 1")
    _check(count > 0 and _between(images, 0, 1), path, "images are none, or leave 0 to 1", "windowed to 0 to 1, finite")
    _check(classes.shape == patients.shape == (count,), path, "classes or patients are not one for each image", "(N,)")
    _check(classes.dtype == np.int64, path, f"classes are {classes.dtype}", "int64")
    last = len(PATTERNS) - 1
    _check(_between(classes, 0, last), path, f"classes leave 0 to {last}", f"indices into {', '.join(PATTERNS)}")
    _check(patients.dtype.kind == "U", path, f"patients are {patients.dtype}", "text, the same for all images of one")
    return Patches(images, classes, np.char.add("own-", patients))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file]
            if not missing:
                return {name: file[name] for name in ARRAYS}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise RecipeError(f"data.own: {path}: cannot be read ({error}); write it with numpy.savez") from None
    raise RecipeError(f"data.own: {path}: has no {' and no '.join(missing)}; it holds {', '.join(ARRAYS)}")


def _between(values: NDArray[Any], low: float, high: float) -> bool:
    return bool(((values >= low) & (values <= high)).all())


def _check(holds: bool, path: Path, found: str, rule: str) -> None:
    if not holds:
        raise RecipeError(f"data.own: {path}: {found}; they must be {rule}")
