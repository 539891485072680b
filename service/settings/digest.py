# SPDX-License-Identifier: Apache-2.0
"""A short name for what config.yaml says, by which two nodes, or one node before and after a change, are compared."""

import hashlib
import json
from typing import Any

from service.settings.schema import Settings


def shared_digest(settings: Settings) -> str:
    """Return the digest of what processes that share a ledger must have in common: not where each listens, or logs."""
    own = {"host", "port", "tls"}
    document = settings.model_dump(mode="json", exclude={"node": own, "http": True, "dicomweb": True, "log": True})
    return _digest(document)


def settings_digest(settings: Settings) -> str:
    """Return the first eight hex digits of the SHA-256 of the settings, defaults included; order and form do not count.

    Secrets lie in files of their own, of which the settings have the path alone.
    """
    return _digest(settings.model_dump(mode="json"))


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:8]
