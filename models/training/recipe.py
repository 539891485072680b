# SPDX-License-Identifier: Apache-2.0
"""What every recipe file says, whatever it trains: names, seed, split and where the first weights come from."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from models.weights import Adaptation
from service.inference.manifest_types import Slug, Strict, Text, Version


class Split(Strict):
    """How many bodies (patients) are kept out of the fit; their score is measured after every epoch.

    A body is on one side with all of its images (`models.training.split`). The bodies of `held_out`, which the model
    card reports on, are others again.
    """

    validation: float = Field(default=0.0, ge=0, le=0.5)


class Transfer(Strict):
    """A file of ImageNet weights that the user gives, read by `models.weights.load_imagenet`; nothing is downloaded.

    `weights` is relative to the folder that the command runs in.
    """

    weights: Text
    adaptation: Adaptation = "sum"

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.weights)


class Recipe(Strict):
    """The part of a recipe file that all pipelines share; each pipeline's own recipe adds its sections.

    `name` and `version` are the package's. Everything random follows from `seed`: the same file gives the same
    weights on one machine.
    """

    name: Slug
    version: Version
    pipeline: Slug
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    split: Split = Split()
