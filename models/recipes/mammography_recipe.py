# SPDX-License-Identifier: Apache-2.0
"""What a recipe file for the pipeline mammography may say."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from models.training.fit_settings import FitSettings
from models.training.recipe import Recipe
from models.training.scanner_shift_settings import ScannerShift
from service.inference.manifest_types import Strict

Count = Annotated[int, Field(ge=1)]
Spread = Annotated[float, Field(gt=0, le=3)]


class Network(Strict):
    """The detector; `width` is a quarter of its features, `members` how many are trained and averaged.

    `start` names a file of first weights beside the recipes (`mammography_start`); without it they are drawn.
    """

    width: Count = 12
    members: Annotated[int, Field(ge=1, le=4)] = 1
    start: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+\.npz$")] | None = None


class Data(Strict):
    """Phantom exams to draw, four views each; scanners vary `scanner_spread` times as far as usual."""

    exams: Count
    scanner_spread: Spread = 1.0


class Augmentation(Strict):
    """What changes from epoch to epoch beside the place of a crop: other scanners."""

    scanner_shift: ScannerShift | None = None


class Fit(Strict):
    """Two fits: marks on crops of `crop_px` pixels, then the view score on whole views, with `copies` of each view.

    The first copy is the view as it was drawn, the others are as other scanners would show it.
    """

    marks: FitSettings
    crop_px: Annotated[int, Field(ge=64, le=448, multiple_of=16)] = 256
    score: FitSettings
    copies: Annotated[int, Field(ge=1, le=8)] = 1


class DistortionFit(Strict):
    """A detector of distortions beside that of masses, on the same picture at 0.4 mm.

    `marks` is fitted to crops of `crop_px` pixels of `views` phantom views, `crops_per_view` of each in an epoch;
    lesions and scanners are drawn anew for every crop. `scanner_shift` changes the crops further. `held_out` exams each
    set thresholds and measure, in domain and under shift.
    """

    views: Count
    marks: FitSettings
    crop_px: Annotated[int, Field(ge=64, le=320, multiple_of=32)] = 192
    crops_per_view: Count = 40
    scanner_shift: ScannerShift | None = None
    held_out: Annotated[int, Field(ge=2)]


class SecondLookFit(Strict):
    """The second look, fitted to patches of `patch_px` around marks of both detectors on `exams` phantom exams.

    The node asks for the `marks` highest of a view.
    """

    exams: Count
    fit: FitSettings
    patch_px: Annotated[int, Field(ge=64, le=512, multiple_of=16)] = 256
    marks: Annotated[int, Field(ge=1, le=20)] = 5


class FineFit(Strict):
    """The graphs at 0.1 mm: a detector of clusters, and a second look where there is to be one.

    `clusters` is fitted to crops of `crop_px` pixels of `views` phantom views, `crops_per_view` of each in an epoch;
    calcifications and scanners are drawn anew for every crop. `scanner_shift` changes the crops further. `held_out`
    exams each set thresholds and measure, in domain and under shift.
    """

    views: Count
    clusters: FitSettings
    crop_px: Annotated[int, Field(ge=64, le=640, multiple_of=16)] = 256
    crops_per_view: Count = 40
    scanner_shift: ScannerShift | None = None
    second_look: SecondLookFit | None = None
    held_out: Annotated[int, Field(ge=2)]


class Calibration(Strict):
    """What the package says of its own doubts, from phantoms that the fit has not seen.

    `scores` makes curves that bring the scores of marks and exams to the share that is right; `distances` adds how far
    a view is from training, with limits from tuning and validation views of usual scanners (100 at least).
    `conformal_level` is that of the set of an exam's answers, from the tuning exams; without it there are none.
    """

    scores: bool = True
    distances: bool = True
    conformal_level: Annotated[float, Field(ge=0.5, lt=1)] | None = None


class HeldOut(Strict):
    """Phantom exams that the model card reports on, in domain, and under shift with scanners spread further."""

    exams: Annotated[int, Field(ge=4)]
    scanner_spread: Spread = 1.8


class MammographyRecipe(Recipe):
    """A lesion detector of the pipeline mammography, and graphs beside it where there are to be any.

    Without `fit` the detector keeps the weights of `network.start` to the last bit.
    """

    pipeline: Literal["mammography"]
    network: Network = Network()
    data: Data
    augmentation: Augmentation = Augmentation()
    fit: Fit | None = None
    distortions: DistortionFit | None = None
    fine: FineFit | None = None
    calibration: Calibration = Calibration()
    held_out: HeldOut

    @model_validator(mode="after")
    def _has_weights(self) -> Self:
        if self.fit is None and (self.network.start is None or self.network.members != 1):
            raise ValueError(
                "the recipe has no fit, and a detector without one is that of network.start alone: add the section "
                f"fit, or name a start and one member (start is {self.network.start}, members {self.network.members})"
            )
        return self
