# SPDX-License-Identifier: Apache-2.0
"""Whether the node may run without flushing: for measuring only, and never because of one wrong line in config.yaml."""

import os

from service.settings import Settings

CONSENT = ("DOKUEI_UNSAFE", "loses-data")
"""What the environment must say as well."""


def durability_problems(settings: Settings) -> list[str]:
    """Return what keeps the node from starting."""
    name, word = CONSENT
    if settings.storage.durability == "durable" or os.environ.get(name) == word:
        return []
    chosen = f"storage.durability: '{settings.storage.durability}'"
    remedy = f"remove it (for a benchmark without patients: set {name}={word} in the environment as well)"
    return [f"{chosen} loses acknowledged studies in a power cut; {remedy}"]
