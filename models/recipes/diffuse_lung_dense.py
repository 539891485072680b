# SPDX-License-Identifier: Apache-2.0
"""Trains the finder of lung without air on phantom slices, measures it on others, and exports it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.export import export_onnx
from models.networks.lung_unet import LungUNet
from models.packaging import GraphSource
from models.phantoms.computed_tomography import (
    NOT_LUNG,
    PATTERNS,
    ChestPhantom,
    Involvement,
    Slice,
    shifted_scanner,
    usual_scanner,
)
from models.recipes.diffuse_lung_data import RECIPE, DrawScanner
from models.recipes.diffuse_lung_dense_data import (
    PIXEL_MM,
    DenseSet,
    bend,
    consolidate,
    draw_dense_set,
    joined,
    real_dense_set,
)
from models.recipes.diffuse_lung_evaluation import upright_slice
from models.recipes.diffuse_lung_recipe import DenseLung
from models.recipes.diffuse_lung_slices import list_summary, real_slices
from models.training.augmentation import shift_scanner
from models.training.fit import Places, fit
from models.training.fit_settings import FitSettings
from models.training.random_source import RandomSource
from models.training.scanner_shift_settings import ScannerShift
from service.imaging.resample import nearest_on, resample_mm
from service.pipelines.diffuse_lung.dense import DenseLung as DenseParameter
from service.pipelines.diffuse_lung.dense import RunGraph, SeeLung, see_with
from service.pipelines.diffuse_lung.lung_extent import survey_slices
from service.pipelines.diffuse_lung.reading import Reading

GRAPH, INPUT, OUTPUT = "lungs", "slice", "lung"
_TRAINING_SEED, _GOLDEN_SEED = 95, 96
_HELD_OUT: Mapping[str, tuple[int, DrawScanner]] = {
    "scanner-shift": (97, shifted_scanner),
    "in-domain": (98, usual_scanner),
}
"""Seed and scanners of each condition; nothing else draws from these seeds. The harder condition is first."""
_SLICES = 20


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DensePart:
    """What a package gets: the graph, its parameter, rows of metrics, and what it has learnt, in words."""

    graph: GraphSource
    learnt: str
    parameter: Mapping[str, Any]
    metrics: Sequence[dict[str, Any]]


def make_dense(settings: DenseLung, *, seed: int, folder: Path, places: Places) -> DensePart:
    """Draw, train, measure and export into the folder; the same seed gives the same graph on one machine."""
    data = draw_dense_set(settings.slices, seed=_TRAINING_SEED, scanner=usual_scanner)
    network = new_network(seed)
    train_dense(network, data, settings.fit, settings.scanner_shift, run=Run("lungs-phantoms", seed, places))
    if settings.real:
        data = joined(data, real_dense_set(real_slices(Path(settings.real.folder))))
        run = Run("lungs-real", seed + 1, places)
        train_dense(network, data, settings.real.fit, settings.scanner_shift, run=run)
    parameter = {
        "graph": GRAPH,
        "input": INPUT,
        "output": OUTPUT,
        "pixel_mm": PIXEL_MM,
        "window_hu": list(RECIPE.window_hu),
        "threshold": 0.5,
    }
    see = see_with(_runs(network), DenseParameter.parse(parameter))
    metrics = [
        row
        for condition, (first, scanner) in _HELD_OUT.items()
        for row in metric_rows(
            held_out_chests(settings.held_out, seed=first, scanner=scanner), see, condition=condition
        )
    ]
    graph = _export(network, folder / f"{GRAPH}.onnx")
    return DensePart(graph=graph, learnt=_learnt(settings), parameter=parameter, metrics=metrics)


def trained_on(learnt: str) -> str:
    """Return what a package with the graph says that it was trained on."""
    return f"Patterns: procedural thin-section CT phantoms only (models.phantoms). Lung without air: {learnt}."


def _learnt(settings: DenseLung) -> str:
    phantoms = f"{settings.slices} phantom slices"
    return f"{phantoms} and {list_summary()}" if settings.real else phantoms


@dataclass(frozen=True, slots=True)
class Run:
    """One pass: its name, which its checkpoint bears, its seed, and where it writes."""

    name: str
    seed: int
    places: Places


def new_network(seed: int) -> LungUNet:
    """Return a network with the first weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LungUNet(channels=1)


def train_dense(
    network: LungUNet, data: DenseSet, settings: FitSettings, scanner_shift: ScannerShift | None, *, run: Run
) -> None:
    """Fit with cross entropy and Dice over the batch; every epoch bends the slices and paints into them anew."""

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        drawn = torch.cat([data.slices[index], data.lungs[index], data.depths_mm[index]], dim=1)
        bent = bend(drawn, random.torch)
        lungs = (bent[:, 1:2] > 0.5).float()
        shown = consolidate(bent[:, :1], lungs, bent[:, 2:], generator=random.torch)
        if scanner_shift:
            shown = shift_scanner(shown, scanner_shift, generator=random.torch)
        logits = network.logits(shown)
        return functional.binary_cross_entropy_with_logits(logits, lungs) + _dice_loss(logits.sigmoid(), lungs)

    fit(
        network,
        loss_of,
        name=run.name,
        count=len(data.slices),
        settings=settings,
        seed=run.seed,
        places=run.places,
    )


def _dice_loss(shown: Tensor, lungs: Tensor) -> Tensor:
    return 1 - (2 * (shown * lungs).sum() + 50) / (shown.sum() + lungs.sum() + 50)


def _runs(network: LungUNet) -> RunGraph:
    @torch.no_grad()
    def run(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        seen: NDArray[np.float32] = network(torch.from_numpy(picture)).numpy()
        return seen

    return run


def held_out_chests(count: int, *, seed: int, scanner: DrawScanner) -> Iterator[ChestPhantom]:
    """Yield chests of 20 slices 12 mm apart; every third is healthy, in the others is consolidation somewhere."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        top = float(rng.uniform(0, 0.6))
        spread = Involvement(
            pattern="consolidation",
            levels=(top, top + float(rng.uniform(0.25, 0.6))),
            sides=str(rng.choice(["RL", "R", "L"])),
            depth_mm=None if rng.uniform() < 0.3 else float(rng.uniform(15, 45)),
        )
        yield ChestPhantom(
            seed=seed * 100_000 + number,
            involvements=() if number % 3 == 2 else (spread,),
            slices=_SLICES,
            pixel_mm=0.7,
            scanner=scanner(rng),
        )


def metric_rows(chests: Iterable[Iterable[Slice]], see: SeeLung, *, condition: str) -> list[dict[str, Any]]:
    """Return how much of what was drawn lies inside the lungs found, by thresholds alone and with the graph.

    The share of consolidation is over all chests that have some; what is found where there is no lung is a share of the
    lung that was drawn, over all chests.
    """
    counts = {name: np.zeros(4, dtype=np.int64) for name in _FINDERS}
    cases = np.zeros(2, dtype=np.int64)
    for chest in chests:
        sections = list(chest)
        drawn = [_drawn(section) for section in sections]
        cases += [any((each == CONSOLIDATION).any() for each in drawn), 1]
        for name, seen in zip(_FINDERS, (None, see), strict=True):
            for each, lung in zip(drawn, _found(sections, seen), strict=True):
                dense, lungs = each == CONSOLIDATION, each != NOT_LUNG
                counts[name] += [dense.sum(), (dense & lung).sum(), lungs.sum(), (~lungs & lung).sum()]
    return [
        {
            "name": f"{told}, {name}",
            "condition": condition,
            "value": round(float(counts[name][part] / max(counts[name][whole], 1)), 3),
            "cases": int(cases[which]),
        }
        for which, (told, part, whole) in enumerate(_TOLD)
        for name in _FINDERS
    ]


CONSOLIDATION = PATTERNS.index("consolidation")
_FINDERS = ("thresholds alone", "with the graph")
_TOLD = (
    ("share of drawn consolidation inside the lungs found", 1, 0),
    ("found where there is no lung, as a share of the lung", 3, 2),
)


def is_dense_row(name: str) -> bool:
    """Say whether a row of metrics is one of `metric_rows`."""
    return any(name.startswith(told) for told, _, _ in _TOLD)


def _drawn(section: Slice) -> NDArray[np.uint8]:
    """Return what was drawn, on the pipeline's own grid."""
    spacing = (section.pixel_mm, section.pixel_mm)
    hounsfield, back = resample_mm(section.hounsfield, spacing, target_mm=RECIPE.pixel_mm)
    shape = (hounsfield.shape[0], hounsfield.shape[1])
    return np.asarray(nearest_on(section.truth, back.inverse(), shape=shape))


def _found(sections: Sequence[Slice], see: SeeLung | None) -> Iterator[NDArray[np.bool_]]:
    """Yield the lungs that the pipeline finds on slices from the head to the feet, on its own grid."""
    _, lungs = survey_slices(map(upright_slice, sections), RECIPE, shell_mm=Reading().subpleural_mm, see=see)
    for level, section in zip(lungs.levels, sections, strict=True):
        yield level.sides(_drawn(section).shape) > 0


def _export(network: LungUNet, path: Path) -> GraphSource:
    """Write the graph with two golden slices, one of them with consolidation."""
    data = draw_dense_set(2, seed=_GOLDEN_SEED, scanner=usual_scanner)
    generator = torch.Generator().manual_seed(_GOLDEN_SEED)
    painted = consolidate(data.slices, data.lungs, data.depths_mm, generator=generator)
    sides = {2: "rows", 3: "columns"}
    export = export_onnx(
        network,
        path,
        examples=[{INPUT: each[None]} for each in painted.numpy()],
        output_names=(OUTPUT,),
        free_axes={INPUT: sides, OUTPUT: sides},
        tolerance=1e-4,
    )
    low, high = RECIPE.window_hu
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-3,
        tensors={
            INPUT: {"channels": [f"{low:g} to {high:g} HU"], "value_range": [0.0, 1.0]},
            OUTPUT: {"channels": ["lung"], "description": "lung with air or without, both sides, without airways"},
        },
    )
