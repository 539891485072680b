# SPDX-License-Identifier: Apache-2.0
"""Reads phantom chests of known extents as the pipeline does, with and without its filter in space."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.phantoms.computed_tomography import NOT_LUNG, PATTERNS, ChestPhantom, Involvement, Slice
from models.recipes.diffuse_lung_data import PAINTED, DrawScanner
from models.recipes.diffuse_lung_evaluation import upright_slice
from service.pipelines.diffuse_lung.dense import see_lung
from service.pipelines.diffuse_lung.extent import (
    PROBABILITY,
    SIDES,
    Classify,
    SliceExtent,
    in_batches,
    in_fields,
    measure_slice,
)
from service.pipelines.diffuse_lung.lung_extent import LungExtent, gather, survey_slices
from service.pipelines.diffuse_lung.plan import Plan
from service.pipelines.diffuse_lung.slices import AxialSlice
from service.pipelines.diffuse_lung.zones import ZONES
from service.ports import Package

GRAPH = "patterns"
PLACES = tuple(side + zone for side in SIDES for zone in ZONES)
Percents = NDArray[np.float64]
"""(6 places, K) percent of the lung of a place."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Compared:
    """One chest: what was drawn, and what was read of it with and without the filter."""

    drawn: Percents
    smoothed: Percents
    bare: Percents


def draw_chests(chests: int, *, seed: int, slices: int, scanner: DrawScanner) -> Iterator[ChestPhantom]:
    """Yield chests whose patterns fill what they lie in, so that a slice goes on in the next one.

    Every pattern that can be painted has its turn; every seventh chest is healthy, every third has a second pattern.
    """
    for number in range(chests):
        rng = np.random.default_rng([seed, number])
        names = [PAINTED[(number + more) % len(PAINTED)] for more in (0, 4)[: 1 + (number % 3 == 2)]]
        yield ChestPhantom(
            seed=seed * 1000 + number,
            involvements=() if number % 7 == 6 else tuple(_involvement(name, rng) for name in names),
            slices=slices,
            pixel_mm=0.7,
            scanner=scanner(rng),
        )


def _involvement(pattern: str, rng: np.random.Generator) -> Involvement:
    top = float(rng.uniform(0, 0.6))
    return Involvement(
        pattern=pattern,
        levels=(top, top + float(rng.uniform(0.25, 0.6))),
        sides=str(rng.choice(["RL", "R", "L"], p=[0.6, 0.2, 0.2])),
        depth_mm=None if rng.uniform() < 0.3 else float(rng.uniform(15, 45)),
    )


def compare(chest: Iterable[Slice], packages: Mapping[str, Package]) -> dict[str, Compared]:
    """Read a chest through each package; slices are drawn once and kept, a few hundred megabytes at most.

    Zones and sides of what was drawn are those that the pipeline cut: the error is that of the patterns, and of lung
    that was not found.
    """
    drawn, sections = [], []
    for section in chest:
        drawn.append(section.truth)
        sections.append(upright_slice(section))
    return {name: _compare(sections, drawn, package) for name, package in packages.items()}


def _compare(sections: Sequence[AxialSlice], drawn: Sequence[NDArray[np.uint8]], package: Package) -> Compared:
    plan = Plan.of(package.parameters)
    see = see_lung(package, plan.dense_lung) if plan.dense_lung else None
    places, lungs = survey_slices(sections, plan.recipe, shell_mm=plan.reading.subpleural_mm, see=see)
    levels = dict(zip(places, lungs.levels, strict=True))
    classify = _classify(package, plan)
    measured = [
        measure_slice(
            section,
            plan.recipe,
            level=levels[section.instance.sop_instance_uid, section.frame_number],
            classify=classify,
            patterns=len(plan.patterns),
        )
        for section in sections
    ]

    def added(measured: Sequence[SliceExtent], reach_mm: float) -> LungExtent:
        reading = replace(plan.reading, smoothing_reach_mm=reach_mm)
        return gather(measured, lungs=lungs, patterns=len(plan.patterns), reading=reading)

    smoothed, bare = added(measured, plan.reading.smoothing_reach_mm), added(measured, 0.0)
    return Compared(drawn=drawn_percents(drawn, smoothed.zones), smoothed=_percents(smoothed), bare=_percents(bare))


def _classify(package: Package, plan: Plan) -> Classify:
    def read(patches: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return package.run(GRAPH, {"patches": patches})

    if plan.whole_fields:
        return in_fields(read, tell=lambda _: None)
    return in_batches(lambda patches: read(patches)[PROBABILITY], plan.batch)


def _percents(extent: LungExtent) -> Percents:
    return np.array(
        [
            [extent.percent(index, zone=zone, side=side) for index in range(len(PATTERNS))]
            for side in range(len(SIDES))
            for zone in range(len(ZONES))
        ]
    )


def drawn_percents(drawn: Sequence[NDArray[np.uint8]], zones: Sequence[int]) -> Percents:
    """Return what was drawn on slices from the head down, of which the right half of the body is on the left."""
    counts = np.zeros((len(SIDES), len(ZONES), len(PATTERNS)))
    for truth, zone in zip(drawn, zones, strict=True):
        middle = truth.shape[1] // 2
        for side, part in enumerate((truth[:, :middle], truth[:, middle:])):
            counts[side, zone] += np.bincount(part[part != NOT_LUNG], minlength=len(PATTERNS))
    places = counts.reshape(len(PLACES), len(PATTERNS))
    return np.asarray(100 * places / np.maximum(places.sum(axis=1, keepdims=True), 1))
