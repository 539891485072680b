# SPDX-License-Identifier: Apache-2.0
"""What is kept of each analysed study for the watch over drift: a few numbers and words, no pixels and no identity."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from service.dicom.pixels import read_image
from service.domain.conversion import Conversion
from service.domain.drift import DISTANCE, KINDS, DriftKind, Monitored
from service.domain.errors import DokueiError
from service.domain.image import StoredImage
from service.domain.instance import Instance
from service.domain.result import Outcome, PipelineResult
from service.imaging.for_processing import CONVERSIONS
from service.imaging.grayscale import to_hounsfield, to_presentation
from service.imaging.quality import coarsened, measure_quality

GRAIN_MM: Final = 0.2
"""Radiographs are measured in pixels of about this size, whatever the detector's are."""
AIR_GREY: Final = 0.05
AIR_HU: Final = -900.0
"""Below these a tile is background."""
WORD_CHARACTERS: Final = 32
_FROM_RECORD: Final = (DriftKind.OUTPUTS, DriftKind.EMBEDDINGS)
_SPACINGS: Final = (
    "ImagerPixelSpacing",
    "PixelSpacing",
    "SharedFunctionalGroupsSequence.PixelMeasuresSequence.PixelSpacing",
)
_KERNELS: Final = ("ConvolutionKernel", "SharedFunctionalGroupsSequence.CTReconstructionSequence.ConvolutionKernel")


def monitored(result: PipelineResult, instances: Sequence[Instance]) -> Monitored:
    """Return what is watched of a study; never fails for an image: what cannot be measured is absent.

    Parameters
    ----------
    instances
        What was analysed, or was to be; at least one.
    """
    middle = instances[len(instances) // 2]
    words = {**_words(middle), "outcome": result.outcome.value}
    numbers = {**_header_numbers(middle), **_output_numbers(result)}
    if result.outcome is not Outcome.NOT_ANALYSED:
        numbers |= _quality(middle, _conversion(result, middle))
    finite = {name: round(value, 6) for name, value in numbers.items() if math.isfinite(value)}
    return Monitored(numbers=finite, words=words)


def _words(instance: Instance) -> dict[str, str]:
    kernel = next((text for name in _KERNELS if (text := instance.text(name))), "")
    words = {"manufacturer": plain(instance.text("Manufacturer")), "kernel": plain(kernel)}
    return {name: word for name, word in words.items() if word}


def plain(text: str) -> str:
    """Return a header's word in small Latin letters and digits alone, short: an equipment's name, not a remark."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()[:WORD_CHARACTERS].strip()


def _header_numbers(instance: Instance) -> dict[str, float]:
    spacing = next((value for name in _SPACINGS if (value := instance.number(name)) is not None), None)
    numbers = {"spacing_mm": spacing, "kvp": instance.number("KVP"), "bits_stored": instance.number("BitsStored")}
    return {name: value for name, value in numbers.items() if value is not None}


def _output_numbers(result: PipelineResult) -> dict[str, float]:
    """Return the score, and what the record has under the names of channels, as means over the views of an exam."""
    score = {} if result.triage is None else {"score": result.triage.score}
    views = _views(result)
    found: dict[str, list[float]] = {}
    for name, value in (*_channels(result.values), *(pair for view in views for pair in _channels(view))):
        found.setdefault(name, []).append(value)
    return {**{name: float(np.mean(values)) for name, values in found.items()}, **score}  # a score is no mean of views


def _channels(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        is_channel = KINDS.get(name) in _FROM_RECORD or DISTANCE in name
        if is_channel and isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _conversion(result: PipelineResult, instance: Instance) -> Conversion | None:
    """Return how the analysis showed a For Processing image, by its record."""
    names = {view.get("sop_instance_uid"): view.get("conversion") for view in _views(result)}
    name = names.get(instance.sop_instance_uid)
    return None if name is None else Conversion(name)


def _views(result: PipelineResult) -> list[Mapping[str, Any]]:
    return [view for view in result.values.get("views", ()) if isinstance(view, Mapping)]


def _quality(instance: Instance, conversion: Conversion | None) -> dict[str, float]:
    """Measure one image of the study, which the analysis has decoded before, as the analysis showed it."""
    try:
        image = read_image(instance.path)
    except (DokueiError, OSError):
        return {}
    if instance.text("Modality") == "CT":
        return measure_quality(to_hounsfield(image), floor=AIR_HU)
    shown = to_presentation(image) if conversion is None else CONVERSIONS[conversion](image)
    return measure_quality(coarsened(shown, _factor(image)), floor=AIR_GREY)


def _factor(image: StoredImage) -> int:
    if image.spacing_mm is None:
        return 1
    return max(1, math.floor(GRAIN_MM / max(image.spacing_mm) + 0.01))
