# SPDX-License-Identifier: Apache-2.0
"""Trains the members of an ensemble and weighs them by patches of bodies that none of a fold's networks has seen."""

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from models.ensemble import Indices, Member, Probabilities, out_of_fold, samme_weights
from models.networks.field import FIELD_DESIGNS, FieldClassifier
from models.networks.field_ensemble import FieldEnsemble
from models.phantoms.computed_tomography import PATTERNS
from models.recipes.diffuse_lung_calibration import Found
from models.recipes.diffuse_lung_data import Patches
from models.recipes.diffuse_lung_recipe import DiffuseLungRecipe, Ensemble
from models.recipes.diffuse_lung_training import fit_network
from models.training.augmentation import shift_scanner
from models.training.fit import Places

_BATCH = 512


def train_ensemble(
    fitted: Patches, validation: Patches, recipe: DiffuseLungRecipe, settings: Ensemble, *, places: Places
) -> FieldEnsemble:
    """Train every member on all fitted patches, and once more for each fold without the bodies of the fold.

    The weights are SAMME's (see `models.ensemble`), from the errors on the patches of the fold as other scanners would
    show them where the recipe's augmentation says so: what a member loses under shift is to count.
    """
    shown = _as_others_show(fitted.images, recipe)
    networks: dict[str, FieldClassifier] = {}
    found: dict[str, Probabilities] = {}
    for name in settings.members:
        networks[name] = _train(fitted, validation, recipe, member=name, run=name, places=places)
        fit = _FoldFit(fitted, shown, recipe, member=name, places=places)
        found[name] = out_of_fold(fit, fitted.classes, fitted.bodies, classes=len(PATTERNS), folds=settings.folds)
    members = samme_weights(found, fitted.classes, classes=len(PATTERNS))
    return FieldEnsemble(networks, members).eval()


class _FoldFit:
    """Trains a member on some patches and returns what gives its probabilities of others; counts its runs."""

    def __init__(
        self,
        fitted: Patches,
        shown: NDArray[np.float32],
        recipe: DiffuseLungRecipe,
        *,
        member: str,
        places: Places,
    ) -> None:
        self._fitted, self._shown, self._recipe, self._member, self._places = fitted, shown, recipe, member, places
        self._runs = 0

    def __call__(self, trained: Indices) -> Callable[[Indices], Probabilities]:
        self._runs += 1
        inside = np.zeros(len(self._fitted.classes), dtype=np.bool_)
        inside[trained] = True
        nobody = self._fitted.where(np.zeros_like(inside))
        run = f"{self._member}-fold-{self._runs}"
        network = _train(
            self._fitted.where(inside), nobody, self._recipe, member=self._member, run=run, places=self._places
        )
        return lambda held_out: probabilities(network, self._shown[held_out])


def _train(
    fitted: Patches, validation: Patches, recipe: DiffuseLungRecipe, *, member: str, run: str, places: Places
) -> FieldClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = FIELD_DESIGNS[member](len(PATTERNS))
    fit_network(network, fitted, validation, recipe, run=run, places=places)
    return network


def _as_others_show(images: NDArray[np.float32], recipe: DiffuseLungRecipe) -> NDArray[np.float32]:
    shift = recipe.augmentation.scanner_shift
    if shift is None:
        return images
    generator = torch.Generator().manual_seed(recipe.seed)
    parts = torch.split(torch.from_numpy(images), _BATCH)
    return torch.cat([shift_scanner(part, shift, generator=generator) for part in parts]).numpy()


def votes_table(ensemble: FieldEnsemble, conditions: Mapping[str, tuple[Patches, Found]]) -> str:
    """Return a Markdown table of the share of patches that each member and both votes get right, by condition."""
    lines = [f"| | {' | '.join(conditions)} | out-of-fold error | weight |", f"|---|{'---|' * (len(conditions) + 2)}"]
    for member in ensemble.members:
        shares = " | ".join(_own_share(ensemble, member, patches) for patches, _ in conditions.values())
        lines.append(f"| {member.name} | {shares} | {member.error:.3f} | {member.alpha:.2f} |")
    for title, output in (("hard vote", "vote"), ("soft vote", "probability")):
        shares = " | ".join(
            f"{float(np.mean(found[output].argmax(axis=1) == patches.classes)):.3f}"
            for patches, found in conditions.values()
        )
        lines.append(f"| {title} | {shares} | - | - |")
    return "\n".join(lines)


def _own_share(ensemble: FieldEnsemble, member: Member, patches: Patches) -> str:
    if not member.kept:
        return "dropped"
    network = cast("FieldClassifier", ensemble.networks[member.name])
    return f"{float(np.mean(probabilities(network, patches.images).argmax(axis=1) == patches.classes)):.3f}"


@torch.no_grad()
def probabilities(network: FieldClassifier, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities (N, K) of patches."""
    parts = torch.split(torch.from_numpy(images), _BATCH)
    return np.asarray(np.concatenate([network(part)[0].numpy() for part in parts]), dtype=np.float32)
