# SPDX-License-Identifier: Apache-2.0
"""Rows of the table of hostile packages on the reference of drift; importing it adds them."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from hostile_packages import hostile
from tiny_package import edit_manifest

CHANNEL = {"channel": "score", "edges": [0.0, 0.5], "counts": [0, 60, 60]}


def declare(folder: Path, *channels: dict[str, Any], **more: Any) -> None:
    section = {"source": "120 phantoms", "groups": [{"channels": [deepcopy(entry) for entry in channels]}], **more}
    edit_manifest(folder, lambda manifest: manifest.update(drift_reference=section))


@hostile("channel ward is unknown; known are bits_stored")
def _reference_of_a_channel_that_nobody_measures(folder: Path) -> None:
    declare(folder, {**CHANNEL, "channel": "ward"})


@hostile("channel score counts 99 studies; 100 are needed")
def _reference_of_too_few_studies(folder: Path) -> None:
    declare(folder, {**CHANNEL, "counts": [0, 60, 39]})


@hostile("edges of channel score must rise and be finite")
def _reference_with_edges_that_fall(folder: Path) -> None:
    declare(folder, {**CHANNEL, "edges": [0.5, 0.0]})


@hostile("needs channels, each of them once")
def _reference_with_a_channel_twice(folder: Path) -> None:
    declare(folder, CHANNEL, CHANNEL)


@hostile("needs one group without manufacturer")
def _reference_of_one_manufacturer_alone(folder: Path) -> None:
    declare(folder, groups=[{"manufacturer": "acme", "channels": [CHANNEL]}])


@hostile("key drift_reference.season")
def _reference_with_an_unknown_key(folder: Path) -> None:
    declare(folder, CHANNEL, season="spring")


@hostile("key drift_reference.groups.0.channels.0.counts.1")
def _reference_that_counts_in_words(folder: Path) -> None:
    declare(folder, {**CHANNEL, "counts": [0, "60", 60]})
