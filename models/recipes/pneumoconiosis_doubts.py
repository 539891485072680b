# SPDX-License-Identifier: Apache-2.0
"""Adds to a trained zone reader what it can say of its own doubts: distances, calibrated scores, conformal sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration.conformal import calibrate_sets, coverage
from models.calibration.distance import TiedGaussian, fit_gaussian, limits
from models.calibration.graph import depth_features, distance_name
from models.calibration.rejection import Rejection, metric_rows, rejections
from models.calibration.scores import calibrate_scores
from models.networks.zone_ensemble import ENSEMBLE_OUTPUTS, ZoneEnsemble, ZoneReader
from models.recipes.pneumoconiosis_data import ZoneSet
from models.recipes.pneumoconiosis_evaluation import FilmReadings, read_films
from models.recipes.pneumoconiosis_metrics import REAL
from models.recipes.pneumoconiosis_recipe import Calibration
from models.recipes.pneumoconiosis_sets import HeldOutSets
from service.domain.reliability import ConformalSet, Limit, Reliability, ScoreCalibration, SetMethod
from service.pipelines.conformal import step_probabilities

Gaussians = Mapping[str, TiedGaussian]
GRAPH = "zones"
DIVERGENCE = "divergence"
LEVEL = 0.8
_MOST_FITTED = 1200
_ZONES = 6


def distances_from(network: ZoneReader, data: ZoneSet) -> Gaussians:
    """Fit some of the zones that the network was fitted to, sick and well as two classes."""
    some = slice(None, None, -(-len(data.levels) // _MOST_FITTED))
    classes = (data.levels[some] >= 3).long().numpy()
    features = depth_features(network, (part.float() for part in torch.split(data.tensors[some], 32)))
    return {depth: fit_gaussian(found, classes) for depth, found in features.items()}


def film_distances(network: ZoneReader, gaussians: Gaussians, data: ZoneSet) -> dict[str, NDArray[np.float64]]:
    """Return each film's distance at each depth, (films,): the mean over its zones, as the node judges it."""
    features = depth_features(network, (part.float() for part in torch.split(data.tensors, 32)))
    return {
        distance_name(depth): gaussians[depth].distances(found).reshape(-1, _ZONES).mean(axis=1)
        for depth, found in features.items()
    }


def distance_limits(network: ZoneReader, gaussians: Gaussians, tuning: Sequence[ZoneSet]) -> tuple[Limit, ...]:
    """Choose limits on tuning films, phantoms and real ones together."""
    found = [film_distances(network, gaussians, data) for data in tuning]
    return limits(GRAPH, {name: np.concatenate([each[name] for each in found]) for name in found[0]})


def disagreement_limits(network: ZoneEnsemble, tuning: Sequence[ZoneSet]) -> tuple[Limit, ...]:
    """Choose the limit of the members' divergence, a film's mean over its zones, on all tuning films together."""
    index = ENSEMBLE_OUTPUTS.index(DIVERGENCE)
    with torch.no_grad():
        found = [network(part.float())[index] for data in tuning for part in torch.split(data.tensors, 32)]
    films = torch.cat(found).double().numpy().reshape(-1, _ZONES).mean(axis=1)
    return limits(GRAPH, {DIVERGENCE: films})


def score_curve(network: ZoneReader, tuning: Sequence[ZoneSet]) -> ScoreCalibration:
    """Return the curve from the film's score to the share of such films with 1/0 or more."""
    films = [read_films(network, data) for data in tuning]
    scores, abnormal = (np.concatenate([getattr(each, name) for each in films]) for name in ("score", "abnormal"))
    return calibrate_scores(scores, abnormal, target="film")


def profusion_sets(network: ZoneReader, tuning: Sequence[ZoneSet]) -> ConformalSet:
    """Return sets of steps for the overall profusion."""
    films = [read_films(network, data) for data in tuning]
    return calibrate_sets(
        np.concatenate([_probabilities(each) for each in films]),
        np.concatenate([_steps(each) for each in films]),
        target="film",
        method=SetMethod.ORDINAL,
        level=LEVEL,
    )


def _probabilities(films: FilmReadings) -> NDArray[np.float64]:
    return step_probabilities(films.above)


def _steps(films: FilmReadings) -> NDArray[np.int64]:
    return np.asarray(np.floor(films.truth + 0.5), dtype=np.int64)


def refused(
    network: ZoneReader, gaussians: Gaussians, sets: Mapping[str, ZoneSet], found: Sequence[Limit]
) -> tuple[Rejection, ...]:
    """Compare films by kind; the first kind is the usual one. Noise inside the zones of that kind is added."""
    measured = {name: film_distances(network, gaussians, data) for name, data in sets.items()}
    (usual, first), *others = measured.items()
    noise = {"uniform noise in the zones": film_distances(network, gaussians, _noisy(sets[usual]))}
    return rejections(first, {**dict(others), **noise}, found)


def _noisy(data: ZoneSet) -> ZoneSet:
    tensors = data.tensors.clone()
    random = torch.Generator().manual_seed(1)
    tensors[:, 0] = torch.rand(tensors[:, 0].shape, generator=random).half() * (tensors[:, 1] > 0)
    return replace(data, tensors=tensors)


def coverage_rows(network: ZoneReader, sets: ConformalSet, held_out: Mapping[str, ZoneSet]) -> list[dict[str, Any]]:
    """Return rows of training.metrics: how often the film's set holds the truth, and how large it is, by condition."""
    rows: list[dict[str, Any]] = []
    for condition, data in held_out.items():
        films = read_films(network, data)
        found = coverage(sets, _probabilities(films), _steps(films))
        note = f"95 % interval {found.low:.3f} to {found.high:.3f}; {found.mean_size:.1f} of 12 steps in a set"
        name = f"coverage of the {100 * sets.level:.0f} % set of the overall profusion"
        rows.append(
            {"name": name, "condition": condition, "value": round(found.share, 4), "cases": found.cases, "note": note}
        )
    return rows


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Doubts:
    """What the package says of its doubts, and how well: sections, rows of metrics, kinds of films that are refused."""

    gaussians: Gaussians
    reliability: Reliability
    rows: list[dict[str, Any]]
    refused: tuple[Rejection, ...]


def doubts_of(
    zones: ZoneReader, asked: Calibration, fitted: ZoneSet, tuning: Sequence[ZoneSet], sets: HeldOutSets
) -> Doubts:
    """Fit distances, a curve and sets, as far as the recipe asks for them."""
    gaussians = distances_from(zones, fitted) if asked.distances else {}
    limits = distance_limits(zones, gaussians, tuning) if asked.distances else ()
    disagreement = disagreement_limits(zones, tuning) if asked.distances and isinstance(zones, ZoneEnsemble) else ()
    conformal = profusion_sets(zones, tuning) if asked.scores else None
    kinds = {"phantoms, usual": sets.in_domain, "phantoms, scanner shift": sets.shifted}
    real = {} if sets.films is None else {"real films, plain and drawn into": sets.films}
    rejected = refused(zones, gaussians, {**kinds, **real}, limits) if asked.distances else ()
    covered = {"scanner-shift": sets.shifted, "in-domain": sets.in_domain, **({REAL: sets.films} if sets.films else {})}
    return Doubts(
        gaussians=gaussians,
        reliability=Reliability(
            calibration=(score_curve(zones, tuning),) if asked.scores else (),
            conformal=(conformal,) if conformal else (),
            out_of_distribution=limits,
            disagreement=disagreement,
        ),
        rows=[*(coverage_rows(zones, conformal, covered) if conformal else ()), *metric_rows(rejected)],
        refused=rejected,
    )
