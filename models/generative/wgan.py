# SPDX-License-Identifier: Apache-2.0
"""Trains the patch GAN: two optimisers, one generator of random numbers, and a state that training goes on from."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.generative.patch_gan import LATENT, PATCH_PIXELS, PatchCritic, PatchGenerator, gradient_penalty


@dataclass(frozen=True, slots=True, kw_only=True)
class GanPlan:
    """How a GAN is trained; `steps` are those of the generator, each after `critic_steps` of the critic."""

    steps: int = 300
    critic_steps: int = 3
    batch: int = 16
    learning_rate: float = 2e-4
    penalty: float = 10.0
    seed: int = 0
    keep_every: int = 100


class PatchGan:
    """A generator and a critic in training, with everything that decides how it goes on."""

    def __init__(self, plan: GanPlan) -> None:
        self.plan = plan
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self.generator, self.critic = PatchGenerator(), PatchCritic()
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=plan.learning_rate, betas=(0.5, 0.9))
            for name, network in (("generator", self.generator), ("critic", self.critic))
        }
        self.random = torch.Generator().manual_seed(plan.seed)
        self.step = 0

    def advance(self, patches: Tensor, labels: Tensor) -> tuple[float, float]:
        """Make one step on patches (N, 1, 64, 64) in [0, 1] and labels (N,); return the distance and the penalty.

        The distance is the critic's estimate of how far drawn patches are from real ones (Wasserstein).
        """
        distance, penalty = 0.0, 0.0
        for _ in range(self.plan.critic_steps):
            distance, penalty = self._teach_critic(patches, labels)
        self._teach_generator(labels)
        self.step += 1
        return distance, penalty

    def _teach_critic(self, patches: Tensor, labels: Tensor) -> tuple[float, float]:
        index = torch.randint(len(patches), (self.plan.batch,), generator=self.random)
        real, kind = patches[index], labels[index]
        with torch.no_grad():
            drawn = self.generator(self._noise(self.plan.batch), kind)
        share = torch.rand((self.plan.batch, 1, 1, 1), generator=self.random)
        distance = self.critic(real, kind).mean() - self.critic(drawn, kind).mean()
        penalty = gradient_penalty(self.critic, real, drawn, kind, share=share)
        self._descend("critic", self.plan.penalty * penalty - distance)
        return float(distance.detach()), float(penalty.detach())

    def _teach_generator(self, labels: Tensor) -> None:
        kind = labels[torch.randint(len(labels), (self.plan.batch,), generator=self.random)]
        self._descend("generator", -self.critic(self.generator(self._noise(self.plan.batch), kind), kind).mean())

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[name].step()

    def _noise(self, count: int) -> Tensor:
        return torch.randn((count, LATENT), generator=self.random)

    @torch.no_grad()
    def draw(self, labels: Tensor, *, seed: int) -> Tensor:
        """Return patches (N, 1, 64, 64) for labels (N,); training is not touched."""
        noise = torch.randn((len(labels), LATENT), generator=torch.Generator().manual_seed(seed))
        self.generator.eval()
        drawn = [self.generator(*part) for part in zip(torch.split(noise, 64), torch.split(labels, 64), strict=True)]
        self.generator.train()
        return torch.cat(drawn) if drawn else torch.zeros((0, 1, PATCH_PIXELS, PATCH_PIXELS))

    def state(self) -> dict[str, Any]:
        """Return what `load` takes."""
        return {
            "plan": asdict(self.plan),
            "step": self.step,
            "random": self.random.get_state(),
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
            **{f"optimiser_{name}": optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises
        ------
        ValueError
            It is of another plan; only `steps` and `keep_every` may differ.
        """
        free = {"steps": 0, "keep_every": 0}
        if {**state["plan"], **free} != {**asdict(self.plan), **free}:
            raise ValueError(
                f"the kept GAN was trained with {state['plan']}, now {asdict(self.plan)} is asked for; "
                "remove it or use the same plan"
            )
        self.step = int(state["step"])
        self.random.set_state(state["random"])
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state[f"optimiser_{name}"])


def fit_gan(
    patches: Tensor,
    labels: Tensor,
    plan: GanPlan,
    *,
    checkpoint: Path | None = None,
    note: Callable[[int, float], object] = lambda _step, _distance: None,
) -> PatchGan:
    """Train to `plan.steps` and return the GAN; with a checkpoint it goes on where that one ends.

    Parameters
    ----------
    patches, labels
        (N, 1, 64, 64) float32 in [0, 1] and (N,) int64 of 0 and 1.
    note
        Called with the step and the critic's distance.

    Raises
    ------
    ValueError
        Shapes or grey values do not fit, or the checkpoint is of another plan.
    """
    _check(patches, labels)
    gan = PatchGan(plan)
    if checkpoint is not None and checkpoint.exists():
        gan.load(torch.load(checkpoint, weights_only=True))
    while gan.step < plan.steps:
        distance, _ = gan.advance(patches, labels)
        note(gan.step, distance)
        if checkpoint is not None and (gan.step % plan.keep_every == 0 or gan.step == plan.steps):
            _keep(checkpoint, gan)
    return gan


def _check(patches: Tensor, labels: Tensor) -> None:
    wanted = (len(labels), 1, PATCH_PIXELS, PATCH_PIXELS)
    if not len(labels) or tuple(patches.shape) != wanted:
        raise ValueError(
            f"patches are {tuple(patches.shape)}; (N, 1, {PATCH_PIXELS}, {PATCH_PIXELS}) with N > 0 is taken"
        )
    if float(patches.min()) < 0 or float(patches.max()) > 1:
        raise ValueError(
            f"patches reach from {float(patches.min()):g} to {float(patches.max()):g}; bring them to [0, 1]"
        )


def _keep(checkpoint: Path, gan: PatchGan) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    partial = checkpoint.with_suffix(".partial")
    torch.save(gan.state(), partial)
    partial.rename(checkpoint)
