# SPDX-License-Identifier: Apache-2.0
"""How a network is fitted, as data: the `fit` section of a recipe file."""

import math
from typing import Literal

from pydantic import Field

from service.inference.manifest_types import Strict


class FitSettings(Strict):
    """Epochs, batches and learning rate of `models.training.fit.fit`; unknown keys are refused.

    `peak_rate` is the highest learning rate of the one-cycle schedule (Smith 2018, arXiv:1803.09820), reached after
    the share `warm_up` of all steps; `weight_decay` is AdamW's (Loshchilov 2019, arXiv:1711.05101). `channels_last`
    stores the weights of convolutions in the order a CPU works through fastest; it changes the last digits. Not for
    1x1 convolutions with a stride over fewer than 8 features: PyTorch 2.13 crashes on the way back. `precision`
    bfloat16 computes convolutions and products with 8 bits of mantissa on the way there and back (torch.autocast);
    weights, their steps and what a loss function takes out of it stay float32.
    """

    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    peak_rate: float = Field(gt=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    warm_up: float = Field(default=0.3, gt=0, lt=1)
    channels_last: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    def steps_per_epoch(self, count: int) -> int:
        """Return the number of full batches in `count` samples; one batch of all of them when there are fewer."""
        return max(1, count // self.batch)

    def warm_up_share(self, count: int) -> float:
        """Return `warm_up`, a hair smaller where it is exactly one step: OneCycleLR would divide by zero there."""
        steps = self.epochs * self.steps_per_epoch(count)
        return math.nextafter(self.warm_up, 0) if self.warm_up * steps == 1 else self.warm_up
