# SPDX-License-Identifier: Apache-2.0
"""What section `drift` of config.yaml must keep to beyond its types."""

from service.domain.drift import kind_of
from service.settings import DriftSettings


def drift_problems(settings: DriftSettings) -> list[str]:
    """Return what is wrong: a channel to be ignored that does not exist."""
    problems = []
    for channel in settings.ignore:
        try:
            kind_of(channel)
        except ValueError as error:
            problems.append(f"drift.ignore: {error}; correct the name, or take it away")
    return problems
