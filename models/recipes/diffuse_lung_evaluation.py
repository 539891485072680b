# SPDX-License-Identifier: Apache-2.0
"""Measures whole phantom chests as the pipeline does: how much lung is called abnormal, and how much is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.networks.field_ensemble import FieldEnsemble
from models.phantoms.computed_tomography import NOT_LUNG, PATTERNS, ChestPhantom, Involvement, Slice
from models.recipes.diffuse_lung_data import PAINTED, RECIPE, DrawScanner
from models.recipes.diffuse_lung_recipe import HeldOut
from service.domain.image import Affine, SlicePlane
from service.domain.instance import Instance
from service.pipelines.diffuse_lung.extent import PROBABILITY, Classify, ClassifyPatches, in_batches, in_fields
from service.pipelines.diffuse_lung.lung_extent import LungExtent, measure_slices
from service.pipelines.diffuse_lung.slices import AxialSlice


@dataclass(frozen=True, slots=True)
class Measured:
    """One chest: percent of lung by pattern as measured, and as drawn."""

    percents: NDArray[np.float64]
    truth: NDArray[np.float64]

    @property
    def abnormal(self) -> float:
        """Measured abnormal share in [0, 1]."""
        return 1 - float(self.percents[0]) / 100

    @property
    def diseased(self) -> bool:
        """Whether anything abnormal was drawn."""
        return bool(self.truth[0] < 100)


def measure_chests(network: nn.Module, held_out: HeldOut, *, seed: int, scanner: DrawScanner) -> tuple[Measured, ...]:
    """Draw chests, the first half of them without disease, and measure each."""
    return tuple(
        _measure(
            network, _chest(seed + number, diseased=number >= held_out.chests, slices=held_out.slices, scanner=scanner)
        )
        for number in range(2 * held_out.chests)
    )


def _chest(seed: int, *, diseased: bool, slices: int, scanner: DrawScanner) -> ChestPhantom:
    rng = np.random.default_rng(seed)
    pattern = str(rng.choice([name for name in PAINTED if name != "consolidation"]))
    spread = Involvement(
        pattern=pattern, levels=(float(rng.uniform(0, 0.6)), 1.0), depth_mm=float(rng.uniform(15, 45)), share=0.8
    )
    return ChestPhantom(
        seed=seed, involvements=(spread,) if diseased else (), slices=slices, pixel_mm=0.7, scanner=scanner(rng)
    )


def _measure(network: nn.Module, chest: ChestPhantom) -> Measured:
    truth = np.zeros(len(PATTERNS))
    sections = []
    for section in chest:
        truth += np.bincount(section.truth[section.truth != NOT_LUNG], minlength=len(PATTERNS))
        sections.append(upright_slice(section))
    extent = _extent(network, sections)
    percents = np.array([extent.percent(index) for index in range(len(PATTERNS))])
    return Measured(percents, 100 * truth / truth.sum())


def _extent(network: nn.Module, sections: Sequence[AxialSlice]) -> LungExtent:
    @torch.no_grad()
    def classify(images: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = network(torch.from_numpy(images))[0].numpy()
        return probabilities

    return measure_slices(lambda: sections, RECIPE, classify=reading(classify, network), patterns=len(PATTERNS))


def reading(classify: ClassifyPatches, network: nn.Module) -> Classify:
    """Return how the pipeline reads a slice through this network: fields where it can, patches otherwise."""
    if not reads_fields(network):
        return in_batches(classify, 256)
    return in_fields(lambda field: {PROBABILITY: classify(field)}, tell=lambda _: None)


def reads_fields(network: nn.Module) -> bool:
    """Say whether a network, whatever is wrapped around it, says of a field what it says of its patches."""
    return any(isinstance(module, FieldEnsemble) for module in network.modules())


def upright_slice(section: Slice) -> AxialSlice:
    """Hand a drawn slice to the pipeline without the way through a file."""
    uid = f"{section.z_mm:.3f}"
    instance = Instance(
        sop_instance_uid=uid,
        sop_class_uid="",
        study_instance_uid="",
        series_instance_uid="",
        transfer_syntax_uid="",
        path=Path(uid),
        sha256="",
        size_bytes=0,
    )
    return AxialSlice(
        instance=instance,
        frame_number=None,
        hounsfield=section.hounsfield,
        spacing_mm=(section.pixel_mm, section.pixel_mm),
        plane=SlicePlane(position_mm=(0.0, 0.0, section.z_mm), orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)),
        to_stored=Affine(),
    )
