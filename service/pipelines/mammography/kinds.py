# SPDX-License-Identifier: Apache-2.0
"""What marks can be of, with their codes and words, and which of it a package looks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from service.codes import Code, sct
from service.domain.errors import PackageError
from service.ports import Package

KindName = Literal["mass", "distortion", "cluster"]
DISPLAY_POINT = "display"
"""Name of the operating point that decides which marks are shown; `display-<kind>` where a kind has its own."""
CLUSTERS: Final = "calcifications"
"""Key of the manifest's parameters, and name of the graph, of the detector of calcification clusters."""
DISTORTIONS: Final = "distortions"
"""Key of the manifest's parameters, and name of the graph, that marks distortions on the detector's own picture."""
SECOND_LOOK: Final = "second_look"
"""Key of the manifest's parameters, and name of the graph, of the second look at the highest marks."""
DETECTOR_CLASSES: Final = "detector_classes"
"""Key of the manifest's parameters: what the channels of the detector's marks are; masses where it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of mark: `single` names it on one view, `composite` where two views agree (PS3.16 CID 6014 and 6016).

    `candidate` is how people are told of a mark, in at most 34 characters, and `pair` of two that are taken for one, in
    at most 21: labels have 64; `caption` stands beside a mark on a picture.
    """

    single: Code
    composite: Code
    candidate: str
    pair: str
    caption: str


KINDS: Final[Mapping[KindName, Kind]] = MappingProxyType(
    {
        "mass": Kind(  # "breast density" on one view: it is only called a mass after two views agree
            single=sct("129793001"),
            composite=sct("129788004"),
            candidate="Mass candidate",
            pair="Mass candidate",
            caption="mass",
        ),
        "distortion": Kind(
            single=sct("129792006"),
            composite=sct("129792006"),
            candidate="Architectural distortion candidate",
            pair="Distortion candidate",
            caption="distortion",
        ),
        "cluster": Kind(
            single=sct("129769006"),
            composite=sct("129769006"),
            candidate="Calcification cluster candidate",
            pair="Calcification cluster",
            caption="calcifications",
        ),
    }
)


def kind_of(finding: Code) -> KindName:
    """Return the kind of a finding on one view; StopIteration where it is none of a mark."""
    return next(name for name, kind in KINDS.items() if kind.single == finding)


def detector_kinds(parameters: Mapping[str, Any]) -> tuple[KindName, ...]:
    """Return what the channels of the detector's marks are, by the manifest's parameters."""
    return tuple(parameters.get(DETECTOR_CLASSES, ("mass",)))


def added_kinds(parameters: Mapping[str, Any]) -> tuple[KindName, ...]:
    """Return what graphs beside the detector mark: nothing of it is in the map that explains the detector's score."""
    graphs: Mapping[str, KindName] = {DISTORTIONS: "distortion", CLUSTERS: "cluster"}
    return tuple(kind for key, kind in graphs.items() if key in parameters)


def declared_kinds(package: Package) -> tuple[KindName, ...]:
    """Return every kind of mark that the package looks for.

    Raises
    ------
    PackageError
        Two graphs look for one kind.
    """
    found, added = detector_kinds(package.parameters), added_kinds(package.parameters)
    twice = [kind for kind in added if kind in found]
    if twice:
        raise PackageError(
            f"parameters.{DETECTOR_CLASSES}: {twice[0]} is a channel of the detector, and parameters.{DISTORTIONS} "
            "names a graph for it; give one of them alone"
        )
    return (*found, *added)


def display_thresholds(package: Package) -> dict[KindName, float]:
    """Return from which score on a mark of each kind is shown."""
    points = package.operating_points
    return {kind: points.get(f"{DISPLAY_POINT}-{kind}", points[DISPLAY_POINT]) for kind in declared_kinds(package)}
