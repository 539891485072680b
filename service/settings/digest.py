# SPDX-License-Identifier: Apache-2.0
"""A short name for what config.yaml says, by which two nodes, or one node before and after a change, are compared."""

import hashlib
import json

from service.settings.schema import Settings


def settings_digest(settings: Settings) -> str:
    """Return the first eight hex digits of the SHA-256 of the settings, defaults included; order and form do not count.

    Secrets lie in files of their own, of which the settings have the path alone.
    """
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
