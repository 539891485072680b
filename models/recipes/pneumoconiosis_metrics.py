# SPDX-License-Identifier: Apache-2.0
"""The rows of the pneumoconiosis manifest's training.metrics: phantoms, real films, lung masks."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from models.networks.lung_unet import LungUNet
from models.networks.zone_ensemble import ZoneReader
from models.recipes.pneumoconiosis_data import ZoneSet
from models.recipes.pneumoconiosis_evaluation import FilmReadings, Rate, rate, read_films
from models.recipes.pneumoconiosis_training import auc, lung_dice, read_zones, zone_metrics

Row = dict[str, Any]
REAL = "real-films"
_ORGANS = ("right lung", "left lung", "heart")


def zone_rows(network: ZoneReader, data: ZoneSet, *, condition: str) -> list[Row]:
    """Measure phantom films and their zones."""
    films = read_films(network, data)
    rows = [
        _row(name, condition, value, cases=len(data.levels))
        for name, value in zone_metrics(*read_zones(network, data), data).items()
    ]
    return [_row("AUC of the film score", condition, auc(films.score, films.abnormal), cases=len(films.score)), *rows]


def film_rows(films: FilmReadings, points: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Measure held-back real films: false alarms on the plain ones, what is found of the opacities drawn into them."""
    return [*_alarm_rows(films, points), *_overlay_rows(films)]


def _alarm_rows(films: FilmReadings, points: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    plain = films.clear
    yield _rate_row("no-finding films read as 1/0 or more", rate(films.called[plain]))
    for name, point in points.items():
        yield _rate_row(f"no-finding films at {name} or above", rate(films.score[plain] >= point["threshold"]))


def _overlay_rows(films: FilmReadings) -> Iterator[Row]:
    sick = films.abnormal
    shown = films.clear | sick
    yield _row("AUC of the film score, drawn opacities", REAL, auc(films.score[shown], sick[shown]), cases=shown.sum())
    yield _rate_row("drawn opacities of 1/0 or more read as 1/0 or more", rate(films.called[sick]))


def _rate_row(name: str, found: Rate) -> Row:
    low, high = found.interval
    note = f"{found.count} films; 95 % interval {low:.3f} to {high:.3f} (Wilson)"
    return {**_row(name, REAL, found.value, cases=found.cases), "note": note}


def lung_rows(network: LungUNet, films: Tensor, masks: Tensor) -> list[Row]:
    """Measure the lung finder on held-out phantom films."""
    means = lung_dice(network, films, masks).mean(axis=0)
    return [
        _row(f"Dice {name}, mixed scanners", "in-domain", float(value), cases=len(films))
        for name, value in zip(_ORGANS, means, strict=True)
    ]


def _row(name: str, condition: str, value: float, *, cases: int) -> Row:
    return {"name": name, "condition": condition, "value": round(float(value), 4), "cases": int(cases)}
