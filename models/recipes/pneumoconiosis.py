# SPDX-License-Identifier: Apache-2.0
"""Makes the pneumoconiosis demonstration package: draws phantoms, trains, measures, exports and packs."""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.export import Export, export_onnx
from models.networks.lung_unet import LungUNet
from models.networks.zone_profusion import OUTPUT_NAMES, ZoneProfusion
from models.packaging import GraphSource, write_package
from models.recipes.pneumoconiosis_card import DESCRIPTION, LICENCE, model_card
from models.recipes.pneumoconiosis_data import CROP, PIXEL_MM, ZoneSet, segmentation_set, zone_set
from models.recipes.pneumoconiosis_training import (
    auc,
    lung_dice,
    read_zones,
    train_lungs,
    train_zones,
    zone_metrics,
)

SEED = 1
TUNING, IN_DOMAIN, SHIFTED, HELD_OUT_LUNGS, GOLDEN = 2, 3, 4, 5, 6
"""Seeds of the phantoms that are never trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is drawn and trained; the smallest is for tests."""

    films: int = 500
    lung_epochs: int = 7
    bodies: int = 130
    exposures: int = 3
    zone_epochs: int = 18
    held_out: int = 24


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the package into the folder given with --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/packages"), help="folder of packages")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; other counts change the last digits")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    make_package(options.out, Effort())


def make_package(packages_folder: Path, effort: Effort) -> Path:
    """Train and write `<packages_folder>/pneumoconiosis-demo/0.1.0`."""
    films, masks = segmentation_set(SEED, count=effort.films)
    lungs = train_lungs(films, masks, seed=SEED, epochs=effort.lung_epochs, note=_note)
    data = zone_set(SEED, bodies=effort.bodies, exposures=effort.exposures, shifted=None)
    zones = train_zones(data, seed=SEED, epochs=effort.zone_epochs, note=_note)
    return pack(packages_folder, lungs, zones=zones, held_out=effort.held_out)


def pack(packages_folder: Path, lungs: LungUNet, *, zones: ZoneProfusion, held_out: int) -> Path:
    """Measure both networks on phantoms that they have not seen, export and write the package."""
    about = _about(lungs, zones, held_out=held_out)
    with tempfile.TemporaryDirectory() as scratch:
        graphs = _export(lungs, zones, folder=Path(scratch))
        return write_package(
            packages_folder,
            about,
            graphs=graphs,
            licence_text=LICENCE,
            model_card=model_card(about["training"]["metrics"], about["operating_points"]),
        )


def _note(line: str) -> None:
    sys.stderr.write(line + "\n")


def _about(lungs: LungUNet, zones: ZoneProfusion, *, held_out: int) -> dict[str, Any]:
    metrics = [
        *_zone_rows(zones, SHIFTED, held_out=held_out, shifted=True),
        *_zone_rows(zones, IN_DOMAIN, held_out=held_out, shifted=False),
        *_lung_rows(lungs, held_out),
    ]
    for row in metrics:
        _note(f"{row['condition']}: {row['name']} {row['value']:.3f} ({row['cases']} cases)")
    return {
        **DESCRIPTION,
        "operating_points": _operating_points(zones, held_out),
        "parameters": {"pixel_mm": PIXEL_MM, "crop_size": CROP, "cam_full_logit": 10.0, "energy_in_lungs_min": 0.8},
        "training": {
            "recipe": "python -m models.recipes.pneumoconiosis",
            "seed": SEED,
            "data": DESCRIPTION["trained_on"],
            "metrics": metrics,
        },
    }


def _zone_rows(zones: ZoneProfusion, seed: int, *, held_out: int, shifted: bool) -> list[dict[str, Any]]:
    data = zone_set(seed, bodies=held_out, exposures=2, shifted=shifted)
    profusion, shape = read_zones(zones, data)
    condition = "scanner-shift" if shifted else "in-domain"
    scores, abnormal = _film_scores(profusion, data)
    rows = [
        _row(name, condition, value, cases=len(data.levels))
        for name, value in zone_metrics(profusion, shape, data).items()
    ]
    return [_row("AUC of the film score", condition, auc(scores, abnormal), cases=len(scores)), *rows]


def _lung_rows(lungs: LungUNet, held_out: int) -> list[dict[str, Any]]:
    films, masks = segmentation_set(HELD_OUT_LUNGS, count=2 * held_out)
    means = lung_dice(lungs, films, masks).mean(axis=0)
    names = ("right lung", "left lung", "heart")
    return [
        _row(f"Dice {name}, mixed scanners", "in-domain", float(value), cases=len(films))
        for name, value in zip(names, means, strict=True)
    ]


def _row(name: str, condition: str, value: float, *, cases: int) -> dict[str, Any]:
    return {"name": name, "condition": condition, "value": round(value, 4), "cases": cases}


def _film_scores(profusion: NDArray[np.float64], data: ZoneSet) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each film's score and whether the mean level of its affected zones is 1/0 or more."""
    scores, abnormal = [], []
    for film in np.unique(data.films):
        own = data.films == film
        scores.append(np.sort(profusion[own, 2])[-2:].mean())
        affected = [level for level in data.levels[own].tolist() if level >= 2]
        abnormal.append(bool(affected) and np.mean(affected) >= 2.5)
    return np.array(scores), np.array(abnormal)


def _operating_points(zones: ZoneProfusion, held_out: int) -> dict[str, dict[str, Any]]:
    """Choose thresholds on phantoms of their own: screening keeps 95 % of disease, review_first 95 % of normals."""
    data = zone_set(TUNING, bodies=held_out, exposures=2, shifted=None)
    scores, abnormal = _film_scores(read_zones(zones, data)[0], data)
    thresholds = {
        "screening": float(np.quantile(scores[abnormal], 0.05, method="lower")),
        "review_first": float(np.quantile(scores[~abnormal], 0.95, method="higher")),
    }
    return {name: _point(threshold, scores, abnormal) for name, threshold in thresholds.items()}


def _point(threshold: float, scores: NDArray[np.float64], abnormal: NDArray[np.bool_]) -> dict[str, Any]:
    shown = round(threshold, 4)
    return {
        "threshold": shown,
        "sensitivity": round(float((scores[abnormal] >= shown).mean()), 4),
        "specificity": round(float((scores[~abnormal] < shown).mean()), 4),
        "measured_on": f"{len(scores)} held-out phantom films, mixed scanners; not patients",
    }


def _export(lungs: LungUNet, zones: ZoneProfusion, *, folder: Path) -> Mapping[str, GraphSource]:
    films, _ = segmentation_set(GOLDEN, count=1)
    crops = zone_set(GOLDEN, bodies=1, exposures=1, shifted=None).tensors.float().numpy()
    lungseg = export_onnx(
        lungs,
        folder / "lungseg.onnx",
        examples=[{"film": film[None]} for film in films.numpy()],
        output_names=("masks",),
        tolerance=1e-4,
    )
    reader = export_onnx(
        zones,
        folder / "zones.onnx",
        examples=[{"zones": part} for part in (crops[:1], crops[1:2])],
        output_names=OUTPUT_NAMES,
        tolerance=1e-4,
    )
    return {"lungseg": _lung_source(lungseg), "zones": _zone_source(reader)}


def _lung_source(export: Export) -> GraphSource:
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-3,
        tensors={
            "film": {"value_range": [0.0, 1.0], "description": "whole film, letter-boxed, percentiles 0.5 and 99.5"},
            "masks": {"channels": ["right lung", "left lung", "heart"], "value_range": [0.0, 1.0]},
        },
    )


def _zone_source(export: Export) -> GraphSource:
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-2,
        tensors={
            "zones": {"channels": ["grey inside the zone", "zone mask"], "value_range": [0.0, 1.0]},
            "profusion_logits": {"description": "logit k: profusion is above step k of the ILO 12-point scale"},
            "shape_logits": {"channels": ["p", "q", "r", "s", "t", "u"]},
            "cam": {"description": "averages to profusion_logits[:, 2], that is, 1/0 or more"},
            "feature": {"description": "mean feature inside the zone"},
        },
    )


if __name__ == "__main__":
    main()
