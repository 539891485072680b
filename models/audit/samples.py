# SPDX-License-Identifier: Apache-2.0
"""Samples for an audit: phantoms, whose truth is known, or the golden inputs of any package."""

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.audit.subject import Samples, Subject
from models.phantoms.computed_tomography import PATTERNS, usual_scanner
from models.recipes.diffuse_lung_data import pure_patches
from models.recipes.mammography_data import MARKED, Place, draw_samples
from models.recipes.pneumoconiosis_data import zone_set
from service.inference.package_files import PackageFiles

SEED = 700_000
"""Far from every seed that training and evaluation use."""
_THICKNESS_MM = 0.05
"""Mean thickness of opacities from which a cell of a phantom zone counts as diseased."""


def golden_samples(package: PackageFiles, subject: Subject) -> Samples:
    """Return the golden inputs of the subject's graph; nobody knows what is in them."""
    files = [package.contents[golden.file] for golden in package.manifest.golden if golden.graph == subject.graph]
    archives = [np.load(io.BytesIO(data), allow_pickle=False) for data in files]
    inputs = np.concatenate([archive[f"inputs/{subject.image}"] for archive in archives])
    return Samples(inputs=inputs, masks=_masks(inputs, subject), truth=None, origin="golden inputs of the package")


def phantom_samples(pipeline: str, subject: Subject, *, count: int) -> Samples:
    """Return at least `count` phantom samples with a finding.

    Raises
    ------
    ValueError
        There are no phantoms for the pipeline.
    """
    draw = _PHANTOMS.get(pipeline)
    if draw is None:
        raise ValueError(f"there are no phantoms for pipeline {pipeline!r}; audit with the golden inputs instead")
    inputs, truth = draw(count)
    origin = f"{len(inputs)} phantoms drawn for this audit, seed {SEED}"
    return Samples(inputs=inputs, masks=_masks(inputs, subject), truth=truth, origin=origin)


def _masks(inputs: NDArray[np.float32], subject: Subject) -> NDArray[np.bool_]:
    return inputs[:, 1] > 0.5 if subject.masked else np.ones(inputs[:, 0].shape, dtype=np.bool_)


def _zones(count: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw films, six zones each, until enough zones are diseased; a cell is 16 pixels."""
    inputs: list[NDArray[np.float32]] = []
    truth: list[NDArray[np.bool_]] = []
    seed = SEED
    while len(inputs) < count:
        drawn = zone_set(seed, bodies=2, exposures=1, shifted=None)
        diseased = np.flatnonzero(drawn.levels.numpy() >= 3)
        cells = drawn.opacity_mm.numpy()[:, 0] > _THICKNESS_MM
        size = drawn.tensors.shape[-1] // cells.shape[-1]
        inputs += [drawn.tensors[int(index)].float().numpy() for index in diseased]
        truth += [np.kron(cells[index], np.ones((size, size), dtype=np.bool_)) for index in diseased]
        seed += 1
    return np.stack(inputs[:count]), np.stack(truth[:count])


def _patches(count: int) -> tuple[NDArray[np.float32], None]:
    """Draw textures, every pattern in turn: they fill the patch, so that no place in it is the right one."""
    per_class = -(-count // len(PATTERNS))
    return pure_patches(per_class, seed=SEED, scanner=usual_scanner).images, None


def _views(count: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    inputs: list[NDArray[np.float32]] = []
    truth: list[NDArray[np.bool_]] = []
    seed = SEED
    while len(inputs) < count:
        for sample in draw_samples(seed, 1):
            if sample.is_marked:
                inputs.append(sample.image.astype(np.float32))
                truth.append(
                    _discs([each for kind in MARKED for each in sample.of_kind(kind)], shape=sample.image.shape[1:])
                )
        seed += 1
    return np.stack(inputs[:count]), np.stack(truth[:count])


def _discs(lesions: Sequence[Place], *, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = [np.hypot(columns + 0.5 - x, rows + 0.5 - y) <= radius for x, y, radius in lesions]
    return np.asarray(np.any(inside, axis=0))


Draw = Callable[[int], tuple[NDArray[np.float32], NDArray[np.bool_] | None]]
_PHANTOMS: Mapping[str, Draw] = {"pneumoconiosis": _zones, "diffuse_lung": _patches, "mammography": _views}
