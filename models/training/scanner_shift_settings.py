# SPDX-License-Identifier: Apache-2.0
"""How far augmentation goes beyond the scanners of the training data: the `scanner_shift` section of a recipe file."""

from typing import Annotated

from pydantic import AfterValidator, Field

from service.inference.manifest_types import Strict

Range = tuple[float, float]


def _ascending(value: Range) -> Range:
    if value[0] > value[1]:
        raise ValueError(f"[{value[0]:g}, {value[1]:g}] must be [least, most]; exchange the two numbers")
    return value


def _non_negative(value: Range) -> Range:
    if value[0] < 0:
        raise ValueError(f"[{value[0]:g}, {value[1]:g}] must not be below 0; raise the first number")
    return value


AnyRange = Annotated[Range, AfterValidator(_ascending)]
PositiveRange = Annotated[Range, AfterValidator(_ascending), AfterValidator(_non_negative)]


class _Switch(Strict):
    """A change that is made to the share `share` of the images, drawn anew for each; a section left out is off."""

    share: float = Field(default=1.0, ge=0, le=1)


class Blur(_Switch):
    """A softer kernel: a Gaussian point spread of `sigma_px` pixels."""

    sigma_px: PositiveRange


class Sharpen(_Switch):
    """A harder kernel: the image plus `amount` of what a Gaussian of `sigma_px` pixels takes away."""

    amount: PositiveRange
    sigma_px: float = Field(default=1.0, gt=0, le=8)


class Noise(_Switch):
    """A lower dose: normal noise of `deviation` (1 is the whole grey range), correlated over `grain_px` pixels."""

    deviation: PositiveRange
    grain_px: PositiveRange = (0.0, 0.0)


class ToneCurve(_Switch):
    """Another display curve: piecewise linear and rising, with slopes spread by `strength` (of their logarithm)."""

    strength: PositiveRange
    pieces: int = Field(default=6, ge=2, le=64)


class Gamma(_Switch):
    """Another gamma: its natural logarithm is drawn from `log_gamma`."""

    log_gamma: AnyRange


class Level(_Switch):
    """Another calibration: contrast about middle grey times `gain`, then `offset` (1 is the whole grey range)."""

    gain: PositiveRange = (1.0, 1.0)
    offset: AnyRange = (0.0, 0.0)


class Inversion(_Switch):
    """Black for white, as MONOCHROME1 read as MONOCHROME2."""


class ScannerShift(Strict):
    """The changes, in the order in which they are made; a section left out makes none."""

    blur: Blur | None = None
    sharpen: Sharpen | None = None
    noise: Noise | None = None
    tone_curve: ToneCurve | None = None
    gamma: Gamma | None = None
    level: Level | None = None
    inversion: Inversion | None = None
