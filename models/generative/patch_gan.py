# SPDX-License-Identifier: Apache-2.0
"""A small conditional WGAN with gradient penalty (Gulrajani 2017) for patches of 64 pixels, on MONAI's networks."""

import torch
from monai.networks.nets.classifier import Critic
from monai.networks.nets.generator import Generator
from torch import Tensor, nn

PATCH_PIXELS = 64
LATENT = 64


class PatchGenerator(nn.Module):
    """Maps noise (N, 64) and labels (N,) of 0 and 1 to patches (N, 1, 64, 64) in [0, 1]."""

    def __init__(self, widths: tuple[int, int, int] = (64, 32, 16)) -> None:
        super().__init__()
        self.body = Generator(
            latent_shape=(LATENT + 2,),
            start_shape=(widths[0], PATCH_PIXELS // 8, PATCH_PIXELS // 8),
            channels=(*widths, 1),
            strides=(2, 2, 2, 1),
            num_res_units=0,
            norm="BATCH",  # MONAI's own choice, over the instance, would take away what the label decides: brightness
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Draw patches."""
        condition = nn.functional.one_hot(labels, 2).to(noise.dtype)
        drawn: Tensor = self.body(torch.cat([noise, condition], dim=1))
        return drawn.sigmoid()


class PatchCritic(nn.Module):
    """Maps patches (N, 1, 64, 64) and labels (N,) to a score (N,), higher for real ones; no norm over the batch."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 64)) -> None:
        super().__init__()
        self.body = Critic(
            in_shape=(2, PATCH_PIXELS, PATCH_PIXELS),
            channels=widths,
            strides=(2,) * len(widths),
            num_res_units=0,
            norm=None,
            dropout=None,
        )

    def forward(self, patches: Tensor, labels: Tensor) -> Tensor:
        """Judge patches."""
        condition = labels.to(patches.dtype).view(-1, 1, 1, 1).expand_as(patches)
        judged: Tensor = self.body(torch.cat([patches, condition], dim=1))
        return judged.flatten()


def gradient_penalty(critic: PatchCritic, real: Tensor, drawn: Tensor, labels: Tensor, *, share: Tensor) -> Tensor:
    """Return the mean of (|gradient| - 1)^2 between real and drawn patches; `share` (N, 1, 1, 1) in [0, 1]."""
    between = (share * real + (1 - share) * drawn).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between, labels).sum(), between, create_graph=True)
    lengths: Tensor = gradient.flatten(1).square().sum(dim=1).sqrt()
    return ((lengths - 1) ** 2).mean()
