# SPDX-License-Identifier: Apache-2.0
"""Trains the four small families on twelve patterns, weighs them by SAMME, and tables members, hard and soft vote."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from models.ensemble import EnsembleGraph, Member, describe, out_of_fold, samme_weights
from models.experiments.lung_patterns.confusion import Share, mcnemar
from models.phantoms.computed_tomography import PATTERNS, shifted_scanner, usual_scanner
from models.recipes.diffuse_lung import training_patches
from models.recipes.diffuse_lung_data import DrawScanner, Patches, chest_patches, pure_patches
from models.recipes.diffuse_lung_recipe import DiffuseLungRecipe
from models.recipes.diffuse_lung_training import train
from models.train import read_recipe
from models.training.fit import Places

FAMILIES = ("vgg16-small", "vgg19-small", "resnet50-small", "densenet121-small")
CONDITIONS: Mapping[str, tuple[int, DrawScanner]] = {
    "unseen scanners": (98_000, shifted_scanner),
    "scanners as in training": (99_000, usual_scanner),
}
_BATCH = 256
_QUIET = Places(progress=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, vote, and write `members.md`, which is printed too."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    recipe = _recipe(options)
    patches = training_patches(recipe.data)
    members, networks = _trained(patches, recipe, folds=options.folds)
    lines = ["| | " + " | ".join(CONDITIONS) + " | weight | out-of-fold error |", "|---|---|---|---|---|"]
    said = {name: _said(networks, members, seed, draw, options) for name, (seed, draw) in CONDITIONS.items()}
    lines += _rows(said, members)
    text = "\n".join([*lines, "", f"Weights: {describe(members)}", *_differences(said, members), ""])
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "members.md").write_text(text, "utf-8")
    sys.stdout.write(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.experiments.lung_patterns.members", description=__doc__)
    parser.add_argument("recipe", type=Path, help="recipe of the pipeline diffuse_lung: data, augmentation, fit")
    parser.add_argument("--out", type=Path, required=True, help="folder of the page")
    parser.add_argument("--textures", type=int, default=450, help="patches of pure texture of each pattern (450)")
    parser.add_argument("--chests", type=int, default=110, help="phantom chests that patches are cut from (110)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folds", type=int, default=3, help="of the errors that the weights follow from (3)")
    parser.add_argument("--held-out-textures", type=int, default=60)
    parser.add_argument("--held-out-chests", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1, help="torch threads; others change the last digits")
    return parser


def _recipe(options: argparse.Namespace) -> DiffuseLungRecipe:
    _, recipe = read_recipe(options.recipe)
    if not isinstance(recipe, DiffuseLungRecipe):
        raise SystemExit(f"members: {options.recipe} is of the pipeline {recipe.pipeline}, not diffuse_lung")
    data = recipe.data.model_copy(update={"textures": options.textures, "chests": options.chests})
    fit = recipe.fit.model_copy(update={"epochs": options.epochs})
    return recipe.model_copy(update={"data": data, "fit": fit})


def _trained(
    patches: Patches, recipe: DiffuseLungRecipe, *, folds: int
) -> tuple[tuple[Member, ...], dict[str, nn.Module]]:
    """Return the weights from patches that no network of a fold has seen, and the members, trained on everything."""
    everything = np.arange(len(patches.classes))
    found: dict[str, NDArray[np.floating]] = {}
    networks: dict[str, nn.Module] = {}
    with tqdm(total=len(FAMILIES) * (folds + 1), unit="training") as bar:
        for family in FAMILIES:
            own = recipe.model_copy(update={"network": recipe.network.model_copy(update={"family": family})})

            def fit(chosen: NDArray[np.int64], own: DiffuseLungRecipe = own) -> "_Probabilities":
                network = _fit(patches, chosen, own)
                bar.update()
                return _Probabilities(network, patches)

            found[family] = out_of_fold(fit, patches.classes, patches.bodies, classes=len(PATTERNS), folds=folds)
            networks[family] = _Logits(_fit(patches, everything, own))
            bar.update()
    return samme_weights(found, patches.classes, classes=len(PATTERNS)), networks


def _fit(patches: Patches, chosen: NDArray[np.int64], recipe: DiffuseLungRecipe) -> nn.Module:
    inside = np.zeros(len(patches.classes), dtype=np.bool_)
    inside[chosen] = True
    nobody = np.zeros_like(inside)
    return train(patches.where(inside), patches.where(nobody), recipe, places=_QUIET).eval()


class _Logits(nn.Module):
    """A patch network that gives its logits alone, as the ensemble wants them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(patches)[1]
        return logits


class _Probabilities:
    """Gives a network's probabilities of patches by their indices."""

    def __init__(self, network: nn.Module, patches: Patches) -> None:
        self._network, self._images = network, patches.images

    @torch.no_grad()
    def __call__(self, chosen: NDArray[np.int64]) -> NDArray[np.floating]:
        parts = torch.split(torch.from_numpy(self._images[chosen]), _BATCH)
        return np.concatenate([self._network(part)[0].numpy() for part in parts])


_Said = dict[str, NDArray[np.bool_]]
"""Whether each voter is right, patch by patch."""


@torch.no_grad()
def _said(
    networks: Mapping[str, nn.Module],
    members: Sequence[Member],
    seed: int,
    scanner: DrawScanner,
    options: argparse.Namespace,
) -> _Said:
    patches = pure_patches(options.held_out_textures, seed=seed, scanner=scanner)
    if options.held_out_chests:
        patches = patches.joined(chest_patches(options.held_out_chests, seed=seed + 1, scanner=scanner))
    graph = EnsembleGraph(networks, members).eval()
    parts = torch.split(torch.from_numpy(patches.images), _BATCH)
    votes = [graph(part)[:2] for part in parts]
    said = {name: torch.cat([network(part) for part in parts]) for name, network in networks.items()}
    said["hard vote"] = torch.cat([hard for hard, _ in votes])
    said["soft vote"] = torch.cat([soft for _, soft in votes])
    return {name: found.argmax(dim=1).numpy() == patches.classes for name, found in said.items()}


def _rows(said: Mapping[str, _Said], members: Sequence[Member]) -> Iterator[str]:
    known = {member.name: member for member in members}
    for voter in (*FAMILIES, "hard vote", "soft vote"):
        shares = (Share.of(rights[voter]) for rights in said.values())
        cells = " | ".join(f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f})" for share in shares)
        member = known.get(voter)
        own = f"{member.alpha:.2f} | {member.error:.3f}" if member else "- | -"
        yield f"| {voter} | {cells} | {own} |"


def _differences(said: Mapping[str, _Said], members: Sequence[Member]) -> Iterator[str]:
    """Yield how the votes stand against the member that weighs most, the one that would be shipped alone."""
    best = max(members, key=lambda member: member.alpha).name
    for condition, rights in said.items():
        for vote in ("hard vote", "soft vote"):
            gain = rights[vote].mean() - rights[best].mean()
            p = mcnemar(rights[best], rights[vote])
            yield f"Against {best} alone, {condition}: {vote} {gain:+.3f}, p = {p:.2g}"


if __name__ == "__main__":
    sys.exit(main())
