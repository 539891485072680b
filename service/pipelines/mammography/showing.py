# SPDX-License-Identifier: Apache-2.0
"""How a view is shown: by its own grey scale, or For Processing by the conversion that the package names."""

from collections.abc import Mapping
from typing import Any

from service.dicom.pixels import read_image
from service.domain.conversion import FOR_PROCESSING, PARAMETER, Conversion
from service.domain.image import Radiograph
from service.domain.instance import Instance
from service.domain.result import Reason
from service.imaging.for_processing import CONVERSIONS
from service.imaging.radiograph import as_mammogram
from service.pipelines.mammography.views import intent_of, name_of


def conversion_of(instance: Instance, parameters: Mapping[str, Any]) -> Conversion | None:
    """Return the conversion that a view needs; None for a view that is for presentation."""
    return Conversion(parameters[PARAMETER]) if intent_of(instance) == FOR_PROCESSING else None


def show(instance: Instance, parameters: Mapping[str, Any]) -> Radiograph:
    """Decode a view and show it upright.

    Raises
    ------
    InputError
        It cannot be decoded.
    """
    image, conversion = read_image(instance.path), conversion_of(instance, parameters)
    return as_mammogram(image, grey=None if conversion is None else CONVERSIONS[conversion](image))


def showing_flags(instance: Instance, conversion: Conversion | None) -> tuple[Reason, ...]:
    """Return what must be known of a view that is not shown as its maker would show it."""
    if conversion is None:
        return ()
    what = (
        f"For Processing pixels were shown by the conversion {conversion.value}; the reader's picture looks different"
    )
    return (Reason(code="for_processing", message=f"{name_of(instance)}: {what}"),)
