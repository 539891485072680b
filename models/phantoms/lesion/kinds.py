# SPDX-License-Identifier: Apache-2.0
"""Which lesions there are: what surrounds them, how they differ from it, and how large they grow."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from service.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The ranges that a lesion of one kind is drawn from; Hounsfield units and millimetres.

    Parameters
    ----------
    tissue_hu, texture_hu, beta
        Mean of the surroundings, standard deviation of their 1/f**beta texture, and beta.
    contrast_hu
        What the lesion adds to its surroundings; drawn with both signs where `both_signs`.
    ring_share, ring_hu
        How often a rim enhances, and what the rim adds to the lesion.
    vessel_hu, wall_hu
        What vessels and the wall (pleura, capsule, skull) are made of.
    """

    says: str
    tissue_hu: tuple[float, float]
    texture_hu: tuple[float, float]
    beta: tuple[float, float]
    contrast_hu: tuple[float, float]
    diameter_mm: tuple[float, float]
    ring_share: float
    ring_hu: tuple[float, float]
    vessel_hu: float
    wall_hu: float
    both_signs: bool = False


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "nodule": Kind(
            says="a solid nodule in aerated lung, beside vessels or the pleura",
            tissue_hu=(-890, -820),
            texture_hu=(14, 30),
            beta=(2.4, 3.2),
            contrast_hu=(750, 900),
            diameter_mm=(5, 25),
            ring_share=0.0,
            ring_hu=(0, 0),
            vessel_hu=40,
            wall_hu=45,
        ),
        "liver": Kind(
            says="a lesion of the liver, darker or (after contrast agent) brighter than its surroundings",
            tissue_hu=(55, 110),
            texture_hu=(5, 10),
            beta=(2.0, 3.0),
            contrast_hu=(25, 60),
            diameter_mm=(8, 45),
            ring_share=0.35,
            ring_hu=(20, 45),
            vessel_hu=150,
            wall_hu=-95,
            both_signs=True,
        ),
        "brain": Kind(
            says="a metastasis of the brain after contrast agent, often with a bright rim and a dark core",
            tissue_hu=(28, 38),
            texture_hu=(2, 4),
            beta=(2.0, 3.0),
            contrast_hu=(20, 45),
            diameter_mm=(4, 32),
            ring_share=0.6,
            ring_hu=(15, 35),
            vessel_hu=110,
            wall_hu=900,
        ),
    }
)
"""Surroundings and lesions like those on which report 004 trained and tested its estimation of shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionPhantom:
    """One lesion and its surroundings; the same values draw the same voxels.

    Parameters
    ----------
    contrast_hu
        Negative for a lesion darker than its surroundings.
    axes
        Half axes of the ellipsoid relative to the mean radius; their product is 1.
    roughness
        Standard deviation of the surface's harmonics of degree 2 to 6 relative to the radius.
    ring_hu, ring_share
        What the rim adds (0: no rim), and its thickness as a share of the radius.
    matrix, voxel_mm
        The cube's side in voxels, and the voxel's side.
    blur_mm, noise_hu
        The scanner: sigma of its point spread, and standard deviation of its noise.
    """

    seed: int
    kind: str = "nodule"
    diameter_mm: float = 12.0
    contrast_hu: float = 800.0
    axes: tuple[float, float, float] = (1.0, 1.0, 1.0)
    roughness: float = 0.08
    ring_hu: float = 0.0
    ring_share: float = 0.25
    tissue_hu: float = -860.0
    texture_hu: float = 20.0
    beta: float = 2.8
    gradient_hu_per_mm: float = 0.0
    vessels: int = 5
    wall_mm: float | None = None
    matrix: int = 64
    voxel_mm: float = 0.6
    blur_mm: float = 0.5
    noise_hu: float = 12.0


def kind_named(name: str) -> Kind:
    """Return the kind; ConfigurationError naming the known ones for another name."""
    if name not in KINDS:
        raise ConfigurationError(f"there is no lesion kind '{name}'; known are {', '.join(KINDS)}")
    return KINDS[name]


def random_lesion_phantom(seed: int, *, kind: str = "nodule", matrix: int = 64) -> LesionPhantom:
    """Draw a lesion of the kind, its diameter half the side of the cube as training wants it.

    Raises
    ------
    ConfigurationError
        No such kind.
    """
    drawn, rng = kind_named(kind), np.random.default_rng([seed, 101, *kind.encode()])
    sign = -1 if drawn.both_signs and rng.random() < 0.6 else 1
    stretch = np.exp(rng.normal(0, 0.16, 3))
    first, second, third = (float(axis) for axis in stretch / np.prod(stretch) ** (1 / 3))
    diameter = float(np.exp(rng.uniform(*np.log(drawn.diameter_mm))))
    wall = float(rng.uniform(0.55, 1.1)) * diameter if rng.random() < 0.4 else None
    phantom = LesionPhantom(
        seed=seed,
        kind=kind,
        contrast_hu=sign * rng.uniform(*drawn.contrast_hu),
        axes=(first, second, third),
        roughness=rng.uniform(0.03, 0.14),
        ring_hu=rng.uniform(*drawn.ring_hu) if rng.random() < drawn.ring_share else 0.0,
        ring_share=rng.uniform(0.15, 0.35),
        tissue_hu=rng.uniform(*drawn.tissue_hu),
        texture_hu=rng.uniform(*drawn.texture_hu),
        beta=rng.uniform(*drawn.beta),
        gradient_hu_per_mm=rng.normal(0, 0.3),
        vessels=int(rng.integers(2, 9)),
        wall_mm=wall,
        noise_hu=rng.uniform(6, 20) if kind == "nodule" else rng.uniform(3, 9),
    )
    return sized(phantom, diameter_mm=diameter, matrix=matrix)


def sized(phantom: LesionPhantom, *, diameter_mm: float, matrix: int | None = None) -> LesionPhantom:
    """Return the phantom with another diameter, the voxels such that the lesion fills half of the cube's side.

    Voxels stay between 0.3 and 3 mm, so that the smallest and largest lesions fill less or more.
    """
    side = matrix or phantom.matrix
    voxel = round(float(np.clip(2 * diameter_mm / side, 0.3, 3.0)), 4)
    return replace(phantom, diameter_mm=diameter_mm, matrix=side, voxel_mm=voxel, blur_mm=max(0.5, 0.6 * voxel))
