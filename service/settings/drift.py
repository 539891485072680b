# SPDX-License-Identifier: Apache-2.0
"""Section `drift` of config.yaml: whether and how the node watches that studies stay like those of the reference."""

from pydantic import Field

from service.settings.base import Section


class DriftSettings(Section):
    """The watch over drift: see docs/drift.md."""

    enabled: bool = True
    """Off: nothing is measured, kept or said."""
    false_alarm_studies: int = Field(default=100_000, ge=1_000, le=100_000_000)
    """While studies are like the reference, a package gives one false alarm in so many of them on average, at most."""
    least_studies: int = Field(default=30, ge=10, le=1_000)
    """Studies before which a watch that begins raises no alarm."""
    window: int = Field(default=200, ge=50, le=2_000)
    """Latest studies over which the population stability index is measured."""
    baseline_studies: int = Field(default=300, ge=100, le=20_000)
    """Studies that a site's own baseline needs at least."""
    keep_studies: int = Field(default=20_000, ge=1_000, le=1_000_000)
    """Studies of each package whose numbers the ledger keeps; older ones are forgotten."""
    ignore: tuple[str, ...] = ()
    """Channels that are not watched, for example [kvp, kernel]."""
    suspend_priority: bool = False
    """While an alarm stands for a package, its results raise no priority."""
