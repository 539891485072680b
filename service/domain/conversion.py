# SPDX-License-Identifier: Apache-2.0
"""The conversions of For Processing images that a package can ask for: each name stands for one for good."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

FOR_PROCESSING: Final = "FOR PROCESSING"
"""Presentation Intent Type (0008,0068) of what no reader is to see as it is."""
PARAMETER: Final = "for_processing"
"""Key of a package's parameters that names the conversion."""


class Conversion(StrEnum):
    """Name and version of a conversion; a change of what it does is a new one."""

    LOG_EQUALISED_1 = "log-equalised-1"
    """Logarithm, equalised edge, window (service/imaging/for_processing)."""


def conversion_problem(acceptance: Mapping[str, Any], parameters: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a package's declaration: who takes For Processing images says how they are shown."""
    intents, named = acceptance.get("presentation_intents"), parameters.get(PARAMETER)
    wanted = isinstance(intents, list | tuple) and FOR_PROCESSING in intents
    known = ", ".join(Conversion)
    if not wanted and named is None:
        return None
    if not wanted:
        return f"parameters.{PARAMETER} needs {FOR_PROCESSING} among acceptance.presentation_intents"
    if named not in list(Conversion):
        return f"acceptance.presentation_intents has {FOR_PROCESSING}: parameters.{PARAMETER} must be one of {known}"
    return None
