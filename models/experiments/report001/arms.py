# SPDX-License-Identifier: Apache-2.0
"""Does invented disease help? Lung patches, with and without overlays and a GAN's patches in the training."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.experiments.report001.films import PATCH_MM, FilmSet
from models.experiments.report001.folds import patient_folds
from models.experiments.report001.overlay import pseudo_abnormal
from models.experiments.report001.training import Effort, read, train
from models.generative.two_sample import compare
from models.generative.wgan import GanPlan, fit_gan
from models.networks.classifier import Classifier

ARMS = ("real alone", "with overlays", "with GAN", "with both")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPlan:
    """How the arms are compared: every arm makes the same number of steps."""

    effort: Effort
    gan: GanPlan = field(default_factory=GanPlan)
    folds: int = 3
    checkpoints: Path | None = None

    def described(self) -> list[object]:
        """Return what the results depend on."""
        return [asdict(self.effort), asdict(self.gan), self.folds]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Patches:
    """Patches (N, 1, 64, 64) and their labels (N,)."""

    images: Tensor
    labels: Tensor

    def plus(self, others: "Patches | None") -> "Patches":
        """Return both together."""
        if others is None:
            return self
        return Patches(images=torch.cat([self.images, others.images]), labels=torch.cat([self.labels, others.labels]))


def compare_arms(films: FilmSet, plan: ArmPlan, *, step: Callable[[], object]) -> dict[str, Any]:
    """Return the held-out scores of every film by arm, and how well the GANs imitate; `step` after each training.

    A film's score is the mean over its patches, NaN where it has none. The positives of overlays are made from normal
    patches; both arms add as many patches as there are real ones of the class.

    Raises
    ------
    ValueError
        The films have no patches, or too few patients for the folds.
    """
    if not len(films.patches):
        raise ValueError("no film has patches of the lung zones: their pixel size is unknown or no lung was found")
    scores = {arm: np.full(len(films), np.nan) for arm in ARMS}
    imitation = []
    for number, (trained, held) in enumerate(patient_folds(films, folds=plan.folds, seed=plan.effort.seed)):
        real = _patches_of(films, trained)
        drawn, told = _from_gan(real, plan, number)
        overlaid = _overlaid(real, seed=plan.effort.seed + number)
        step()
        extras = {"real alone": None, "with overlays": overlaid, "with GAN": drawn, "with both": overlaid.plus(drawn)}
        for arm, extra in extras.items():
            network = _train(real.plus(extra), plan, number)
            scores[arm][held] = _film_scores(network, films, held)
            if extra is None:
                imitation.append(asdict(_imitation(network, real, told)))
            step()
    return {"scores": {arm: values.tolist() for arm, values in scores.items()}, "imitation": imitation}


def _patches_of(films: FilmSet, index: NDArray[np.int64]) -> Patches:
    own = np.isin(films.patch_film, index)
    labels = films.labels[films.patch_film[own]].astype(np.int64)
    return Patches(images=torch.from_numpy(films.patches[own])[:, None], labels=torch.from_numpy(labels))


def _overlaid(real: Patches, *, seed: int) -> Patches:
    """Return as many pseudo-abnormal patches as there are positives, each from a normal one."""
    rng = np.random.default_rng([seed, 13])
    normal = real.images[real.labels == 0][:, 0].numpy()
    chosen = rng.integers(len(normal), size=int(real.labels.sum()))
    made = [pseudo_abnormal(normal[index], pixel_mm=PATCH_MM, rng=rng) for index in chosen]
    return Patches(images=torch.from_numpy(np.stack(made))[:, None], labels=torch.ones(len(made), dtype=torch.int64))


def _from_gan(real: Patches, plan: ArmPlan, number: int) -> tuple[Patches, Patches]:
    """Train a GAN on the training patches; return patches to train with, of both classes, and others to judge it by."""
    kept = None if plan.checkpoints is None else plan.checkpoints / f"gan-{number}.pt"
    gan = fit_gan(real.images, real.labels, plan.gan, checkpoint=kept)
    training = Patches(images=gan.draw(real.labels, seed=1), labels=real.labels)
    return training, Patches(images=gan.draw(real.labels, seed=2), labels=real.labels)


def _train(patches: Patches, plan: ArmPlan, number: int) -> Classifier:
    effort = {**asdict(plan.effort), "seed": plan.effort.seed + number}
    return train(patches.images, patches.labels, Effort(**effort))


def _film_scores(network: Classifier, films: FilmSet, held: NDArray[np.int64]) -> NDArray[np.float64]:
    own = np.isin(films.patch_film, held)
    told = read(network, torch.from_numpy(films.patches[own])[:, None]).scores
    of_film = films.patch_film[own]
    sums = np.bincount(of_film, weights=told, minlength=len(films))
    counts = np.bincount(of_film, minlength=len(films))
    with np.errstate(invalid="ignore"):
        return np.asarray((sums / counts)[held])


def _imitation(network: Classifier, real: Patches, drawn: Patches) -> Any:
    return compare(read(network, real.images).features, read(network, drawn.images).features)
