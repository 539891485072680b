# SPDX-License-Identifier: Apache-2.0
"""Adds to a trained patch classifier what it can say of its own doubts: temperature, sets, distances from training."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.calibration.conformal import calibrate_sets, coverage
from models.calibration.distance import fit_gaussian, limits
from models.calibration.graph import Tempered, WithDistances, depth_features
from models.calibration.metrics import measure_classes
from models.calibration.rejection import Rejection, rejections, uniform_noise
from models.calibration.scores import class_temperature
from models.networks.field_ensemble import ENSEMBLE_OUTPUTS, LEAST_PROBABILITY, FieldEnsemble
from models.recipes.diffuse_lung_data import Patches
from models.recipes.diffuse_lung_recipe import Calibration
from service.domain.reliability import ConformalSet, Reliability, SetMethod

OUTPUTS = ("probability", "logits", "cam", "feature")
GRAPH = "patterns"
DIVERGENCE = "divergence"
_MOST_FITTED = 6000
_BATCH = 512

Found = Mapping[str, NDArray[np.float32]]
"""Outputs of the graph by name, for all patches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """The graph as it is exported, the names of its outputs, and what the manifest says of its doubts."""

    graph: nn.Module
    names: tuple[str, ...]
    temperature: float
    reliability: Reliability

    @torch.no_grad()
    def run(self, images: NDArray[np.float32]) -> Found:
        """Return the outputs for patches (N, 1, 48, 48)."""
        parts = [self.graph(part) for part in torch.split(torch.from_numpy(images), _BATCH)]
        return {
            name: torch.cat(column).numpy() for name, column in zip(self.names, zip(*parts, strict=True), strict=True)
        }


def calibrate(network: nn.Module, fitted: Patches, tuning: Patches, settings: Calibration) -> Calibrated:
    """Fit temperature and distances; sets and limits come from the tuning patches, which the fit has not seen."""
    graph, names, temperature = _tempered(network, tuning, settings)
    if settings.distances:
        graph = _with_distances(graph, fitted)
        names = graph.output_names(names)
    found = Calibrated(graph=graph, names=names, temperature=temperature, reliability=Reliability()).run(tuning.images)
    reliability = Reliability(
        conformal=_sets(found, tuning, settings),
        out_of_distribution=limits(GRAPH, distances(found)),
        disagreement=limits(GRAPH, {name: found[name].astype(np.float64) for name in found if name == DIVERGENCE}),
    )
    return Calibrated(graph=graph, names=names, temperature=temperature, reliability=reliability)


def _tempered(network: nn.Module, tuning: Patches, settings: Calibration) -> tuple[nn.Module, tuple[str, ...], float]:
    """Return the network at the temperature of the tuning patches, the names of its outputs, and the temperature.

    The logits of a vote are the logarithms of its probabilities: those of the members are averaged for the maps alone.
    """
    votes = isinstance(network, FieldEnsemble)
    names = ENSEMBLE_OUTPUTS if votes else OUTPUTS
    temperature = 1.0
    if settings.temperature:
        bare = Calibrated(graph=network, names=names, temperature=1.0, reliability=Reliability()).run(tuning.images)
        logits = np.log(np.maximum(bare["probability"], LEAST_PROBABILITY)) if votes else bare["logits"]
        temperature = class_temperature(logits, tuning.classes)
    graph = network.tempered(temperature) if isinstance(network, FieldEnsemble) else Tempered(network, temperature)
    return graph, names, temperature


def _with_distances(network: nn.Module, fitted: Patches) -> WithDistances:
    every = -(-len(fitted.classes) // _MOST_FITTED)
    images, classes = torch.from_numpy(fitted.images[::every]), fitted.classes[::every]
    features = depth_features(network, torch.split(images, _BATCH))
    return WithDistances(network, {depth: fit_gaussian(found, classes) for depth, found in features.items()})


def distances(found: Found) -> Mapping[str, NDArray[np.float64]]:
    """Return the distances among the outputs."""
    return {name: values.astype(np.float64) for name, values in found.items() if name.startswith("distance_")}


def _sets(found: Found, tuning: Patches, settings: Calibration) -> tuple[ConformalSet, ...]:
    if settings.conformal_level is None:
        return ()
    return (
        calibrate_sets(
            found["probability"],
            tuning.classes,
            target="pattern",
            method=SetMethod.APS,
            level=settings.conformal_level,
        ),
    )


def doubt_rows(calibrated: Calibrated, found: Found, classes: NDArray[np.int64]) -> list[tuple[str, float, int]]:
    """Return rows (name, value, cases) of the model card: how far probabilities and sets hold on held-out patches."""
    measured = measure_classes(found["probability"], classes)
    rows = [("expected calibration error of the pattern's probability", measured.ece, measured.cases)]
    for sets in calibrated.reliability.conformal:
        held = coverage(sets, found["probability"], classes)
        rows += [
            (f"share of patches whose set of level {sets.level:g} holds the truth", held.share, held.cases),
            (f"patterns in a set of level {sets.level:g}", held.mean_size, held.cases),
        ]
    return rows


def refused(calibrated: Calibrated, inside: Found, shifted: Found) -> tuple[Rejection, ...]:
    """Compare usual patches with those of shifted scanners and with noise; empty without distances."""
    if not calibrated.reliability.out_of_distribution:
        return ()
    noise = calibrated.run(uniform_noise((200, 1, 48, 48), seed=1))
    strange = {"scanner shift": distances(shifted), "uniform noise": distances(noise)}
    return rejections(distances(inside), strange, calibrated.reliability.out_of_distribution)
