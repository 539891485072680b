# SPDX-License-Identifier: Apache-2.0
"""Section `priors` of config.yaml: older studies of a patient that the node fetches, to compare with them."""

from pydantic import Field

from service.settings.base import Name, Section


class PriorSettings(Section):
    """Where older studies are looked for (decision 37)."""

    source: Name
    """A destination that answers C-FIND and C-MOVE, knows this node as a place to send to, and may send to it."""
    studies: int = Field(default=1, ge=1, le=10)
    """How many of the newest older studies are fetched for one study."""
    years: float = Field(default=5, gt=0, le=100)
    """How old they may be."""
    wait_seconds: float = Field(default=120, ge=1, le=3600)
    """So long at most does a study wait for an older one to be looked for, sent and analysed."""
    at_once: int = Field(default=1, ge=1, le=8)
    """How many studies the archive is asked for at the same time."""
