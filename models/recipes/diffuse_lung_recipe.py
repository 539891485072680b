# SPDX-License-Identifier: Apache-2.0
"""What a recipe file for the pipeline diffuse_lung may say."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.networks.classifier import DESIGNS
from models.networks.field import FIELD_DESIGNS
from models.phantoms.computed_tomography import shifted_scanner, usual_scanner
from models.recipes.diffuse_lung_data import DrawScanner, mixed_scanner
from models.recipes.diffuse_lung_slices import list_digest
from models.training.fit_settings import FitSettings
from models.training.recipe import Recipe, Transfer
from models.training.scanner_shift_settings import ScannerShift
from service.inference.manifest_types import Strict, Text

PATCH_RESNET = "patch-resnet"
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Network(Strict):
    """The network's family, `patch-resnet` or one of `models.networks.classifier`; `widths` are patch-resnet's.

    A width is 8 at least: with 4, channels last, the backward pass of a 1x1 convolution with stride 2 writes beyond its
    memory (PyTorch 2.13 on a CPU, measured).
    """

    family: str = PATCH_RESNET
    widths: tuple[Annotated[int, Field(ge=8)], ...] = Field(default=(24, 48, 96), min_length=2)

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = (PATCH_RESNET, *DESIGNS)
        if self.family not in known:
            raise ValueError(f"family {self.family!r} is unknown; use one of {', '.join(known)}")
        return self


class Ensemble(Strict):
    """Members that vote in one graph, of `models.networks.field`, and the folds that their weights come from.

    They take the place of `network`, and of its first weights from elsewhere.
    """

    members: tuple[str, ...] = Field(default=tuple(FIELD_DESIGNS), min_length=2)
    folds: Annotated[int, Field(ge=2)] = 2

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = [name for name in self.members if name not in FIELD_DESIGNS]
        if unknown or len(set(self.members)) < len(self.members):
            told = f"{', '.join(unknown)} unknown" if unknown else "one named twice"
            raise ValueError(f"members: {told}; name each once, of {', '.join(FIELD_DESIGNS)}")
        return self


class Scanners(Strict):
    """Shares of the phantom scanners that training draws; they add up to 1. `shifted` is the model card's shift."""

    usual: Share = 1.0
    shifted: Share = 0.0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.usual + self.shifted - 1) > 1e-9:
            raise ValueError(f"usual {self.usual:g} and shifted {self.shifted:g} must add up to 1; change one of them")
        return self

    def draw(self) -> DrawScanner:
        """Return a function that draws a scanner of this mix."""
        return mixed_scanner({usual_scanner: self.usual, shifted_scanner: self.shifted})


class Data(Strict):
    """What to train on: phantoms, texture patches of each pattern and chests with one or two, and patches of your own.

    `own` is an .npz file, relative to the folder that the command runs in: see `diffuse_lung_own.ARRAYS`.
    """

    textures: Annotated[int, Field(ge=0)] = 0
    chests: Annotated[int, Field(ge=0)] = 0
    scanners: Scanners = Scanners()
    own: Text | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.textures or self.chests or self.own):
            raise ValueError("textures and chests are 0 and own is missing; give one of them")
        return self


class Augmentation(Strict):
    """What changes from epoch to epoch: quarter turns and mirror images of whole batches, and other scanners."""

    turn: bool = True
    mirror: bool = True
    scanner_shift: ScannerShift | None = None


class Calibration(Strict):
    """What the package says of its own doubts, from tuning phantoms that the fit has not seen.

    `temperature` brings the probabilities to the share that is right; `conformal_level` makes sets of patterns that
    hold the true one in that share of patches (left out: none); `distances` adds how far a patch is from training.
    """

    temperature: bool = True
    conformal_level: Annotated[float, Field(ge=0.5, lt=1)] | None = None
    distances: bool = True


class HeldOut(Strict):
    """Phantoms that the model card reports on, drawn with seeds of their own, for each of both scanner domains.

    `chests` is the number of healthy chests, and of diseased ones; `slices` of each are measured.
    """

    textures: Count
    chests: Count
    slices: Annotated[int, Field(ge=2)] = 10


class RealSlices(Strict):
    """Public CT slices, from the list `models/recipes/diffuse_lung_slices.csv`, whose SHA-256 is `list_sha256`.

    `fit` is the pass over them and the phantoms that follows the one over phantoms alone.
    """

    folder: Text
    list_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    fit: FitSettings

    @model_validator(mode="after")
    def _listed(self) -> Self:
        if self.list_sha256 != list_digest():
            raise ValueError(f"list_sha256: the list beside the recipes has {list_digest()}; take that, or that list")
        return self


class DenseLung(Strict):
    """The finder of lung without air: a U-Net on so many phantom `slices`, each bent and painted anew in every epoch.

    `real` adds public slices of patients, into which consolidation is painted too. `held_out` chests of each of both
    scanner domains are measured, on seeds of their own.
    """

    slices: Count
    real: RealSlices | None = None
    scanner_shift: ScannerShift | None = None
    fit: FitSettings
    held_out: Count


class DiffuseLungRecipe(Recipe):
    """A patch classifier of the pipeline diffuse_lung, and a finder of lung without air beside it if asked for."""

    pipeline: Literal["diffuse_lung"]
    network: Network = Network()
    ensemble: Ensemble | None = None
    transfer: Transfer | None = None
    data: Data
    augmentation: Augmentation = Augmentation()
    balance: Literal["loss", "draw", "none"] = "loss"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    fit: FitSettings
    calibration: Calibration = Calibration()
    held_out: HeldOut
    dense_lung: DenseLung | None = None

    @model_validator(mode="after")
    def _transfer_fits(self) -> Self:
        if self.ensemble and (self.transfer or self.network != Network()):
            raise ValueError("an ensemble has members of its own; remove network and transfer, or ensemble")
        if self.transfer and self.network.family == PATCH_RESNET:
            raise ValueError(
                f"transfer needs a family with ImageNet weights, not {PATCH_RESNET!r}; "
                f"set network.family to one of {', '.join(DESIGNS)}, or remove transfer"
            )
        return self
