# SPDX-License-Identifier: Apache-2.0
"""Whether the pixels lie as the header says: lungs are looked for on the turned and the inverted picture, too.

The network that outlines lungs and heart is surest of a film that faces it as those of its training did. Where it is
surer of a turned or inverted picture, and that one passes the anatomical gates, the header lies and the message says
how; where no picture passes, this is no frontal chest film. A mirrored film passes either way and is flagged only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from service.domain.result import Reason
from service.imaging.radiograph import mediastinum_contrast
from service.pipelines.pneumoconiosis.film_gates import Acceptance, anatomy_reasons, measure_lungs, sureness
from service.pipelines.pneumoconiosis.lungs import Film, FloatImage, lungs_from, segmentation_input
from service.ports import Package

Turn = Callable[[FloatImage], FloatImage]

_UPSIDE_DOWN = "the film is stored upside down; check (0020,0020) Patient Orientation"
_ON_ITS_SIDE = "the film is stored on its side; check (0020,0020) Patient Orientation"
_MIRRORED = (
    "the film looks mirrored, or the heart lies to the right; check (0020,0020) Patient Orientation and the marker"
)
_INVERTED = "black and white are exchanged; check (0028,0004) Photometric Interpretation"

TURNS: Final[Mapping[str, Turn]] = MappingProxyType(
    {
        "half_turn": lambda picture: picture[::-1, ::-1],
        "flipped": lambda picture: picture[::-1],
        "inverted": lambda picture: np.float32(1) - picture,
        "mirrored": lambda picture: picture[:, ::-1],
        "quarter_turn": np.rot90,
        "quarter_turn_back": lambda picture: np.rot90(picture, 3),
    }
)
"""What undoes a wrong header, by name."""
SAID: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "half_turn": ("upside_down", _UPSIDE_DOWN),
        "flipped": ("upside_down", f"{_UPSIDE_DOWN}; it is mirrored as well"),
        "inverted": ("polarity", _INVERTED),
        "mirrored": ("mirrored", _MIRRORED),
        "quarter_turn": ("on_its_side", _ON_ITS_SIDE),
        "quarter_turn_back": ("on_its_side", _ON_ITS_SIDE),
    }
)
"""The code and the message of each."""
OF_ACCEPTED: Final = ("half_turn", "flipped", "inverted", "mirrored")
"""A film on its side never passes the gates as it is."""
MIRROR_MARGIN: Final = 0.01
"""How much surer the network must be of the mirrored film, of a sum that is 2 at most.

With the heart's side this flagged 147 of 164 public films that pass mirrored, and 7 of 195 that lie as they should; the
heart's side alone 34 and 4.
"""
NO_CHEST = Reason(
    code="no_frontal_chest",
    message="no way of turning or inverting the picture shows two lungs beside a heart: another body part or view, "
    "or lungs that are cut off or hidden; send the PA chest film",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewCheck:
    """What the check found: reasons to refuse, flags, and how sure the network is of each picture (0 to 2)."""

    reasons: tuple[Reason, ...] = ()
    flags: tuple[Reason, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)


def check_view(film: Film, probabilities: FloatImage, package: Package, *, is_refused: bool) -> ViewCheck:
    """Look at the film in other ways, too.

    Parameters
    ----------
    probabilities
        (3, 256, 256), of the film as it is.
    is_refused
        Whether the film fails the anatomical gates as it is; then every turn is tried, and the reasons say which helps.
    """
    own, names = sureness(probabilities), tuple(TURNS) if is_refused else OF_ACCEPTED
    turned = {name: _turned(film, TURNS[name]) for name in names}
    inputs = np.concatenate([segmentation_input(each.pixels)[0] for each in turned.values()])
    masks = dict(zip(names, package.run("lungseg", {"film": inputs})["masks"], strict=True))
    sure = {name: sureness(masks[name]) for name in names}
    values = {"sureness": own, **{f"sureness_{name}": value for name, value in sure.items()}}
    for name in sorted((name for name in names if name != "mirrored"), key=lambda name: -sure[name]):
        if sure[name] > own and _passes(turned[name], masks[name], package.acceptance):
            return ViewCheck(reasons=(_reason(name),), values=values)
    is_mirrored = sure["mirrored"] > own + MIRROR_MARGIN
    if not is_refused:
        return ViewCheck(flags=(_reason("mirrored"),) if is_mirrored else (), values=values)
    if is_mirrored and _passes(turned["mirrored"], masks["mirrored"], package.acceptance):
        return ViewCheck(reasons=(_reason("mirrored"),), values=values)
    return ViewCheck(reasons=(NO_CHEST,), values=values)


def refusal_reasons(view: ViewCheck, measured: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """Return why a film is refused: how it lies where that is the reason of all others, else everything."""
    if view.reasons and view.reasons != (NO_CHEST,):
        return view.reasons
    return (*view.reasons, *measured)


def _reason(name: str) -> Reason:
    code, message = SAID[name]
    return Reason(code=code, message=message)


def _turned(film: Film, turn: Turn) -> Film:
    return replace(film, pixels=np.ascontiguousarray(turn(film.pixels)))


def _passes(film: Film, probabilities: FloatImage, acceptance: Acceptance) -> bool:
    """Whether the turned film passes the anatomical gates."""
    _, to_film = segmentation_input(film.pixels)
    lungs = lungs_from(probabilities, to_film, shape=(film.pixels.shape[0], film.pixels.shape[1]))
    measured: dict[str, Any] = measure_lungs(film, lungs, probabilities)
    measured["mediastinum_contrast"] = mediastinum_contrast(film.pixels)
    return not anatomy_reasons(measured, acceptance)
