# SPDX-License-Identifier: Apache-2.0
"""What an emergency head CT is taken for: bleeding of four kinds, early infarcts, and what they push aside."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from models.phantoms.head.anatomy import Head, Layers, Plane
from models.phantoms.volume import Volume, mixed, soft_edge
from service.domain.errors import ConfigurationError

BLOOD, OEDEMA, ISCHAEMIC = 64.0, 20.0, 23.0
"""Hounsfield units: clotted blood of a day, oedema of white matter, infarcted brain after some hours."""

HEAD_FINDINGS: Mapping[str, str] = MappingProxyType(
    {
        "epidural": "a lens of blood between skull and dura",
        "subdural": "a crescent of blood along the inner table",
        "intracerebral": "a clot in the basal ganglia with oedema around it",
        "subarachnoid": "blood in the basal cisterns and sulci",
        "infarct": "the middle cerebral artery's territory, darker, its grey and white matter alike, its sulci effaced",
    }
)
SHIFTING = frozenset({"epidural", "subdural", "intracerebral"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFinding:
    """One finding: its kind, side ("R" or "L") and size in mm (diameter of a clot, thickness of a layer).

    `shift_mm` is how far the midline moves away from it; None takes what is usual for the size.
    """

    kind: str
    side: str = "R"
    size_mm: float = 30.0
    shift_mm: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in HEAD_FINDINGS:
            raise ConfigurationError(f"there is no head finding '{self.kind}'; known are {', '.join(HEAD_FINDINGS)}")
        if self.side not in {"R", "L"}:
            raise ConfigurationError(f"side '{self.side}' of a head finding is neither R nor L")

    @property
    def outward(self) -> int:
        """-1 for the right side, where x is negative, 1 for the left."""
        return -1 if self.side == "R" else 1

    @property
    def midline_shift_mm(self) -> float:
        """The shift along x, positive to the left: away from the finding."""
        usual = 0.2 * max(self.size_mm - 8, 0) if self.kind in SHIFTING else 0.0
        return -self.outward * (usual if self.shift_mm is None else self.shift_mm)


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """One plane of a head, as findings see it."""

    head: Head
    layers: Layers
    at: Plane


def share_of(finding: HeadFinding, scene: Scene) -> Volume:
    """Return how much of each pixel of a plane belongs to the finding, in [0, 1]."""
    return np.asarray(_SHARES[finding.kind](finding, scene), dtype=np.float32)


def with_finding(canvas: Volume, finding: HeadFinding, share: Volume, scene: Scene) -> Volume:
    """Return the plane with the finding in it."""
    inside = np.asarray(share * soft_edge(scene.layers.depth_mm, 0.6), dtype=np.float32)
    if finding.kind == "infarct":
        return mixed(canvas, ISCHAEMIC, 0.8 * inside * (canvas < 120))
    return mixed(canvas, BLOOD, inside * (canvas < 300))


def with_oedema(canvas: Volume, finding: HeadFinding, scene: Scene) -> Volume:
    """Return the plane with the dark rim around a clot; other findings have none."""
    if finding.kind != "intracerebral":
        return canvas
    rim = (
        soft_edge(_clot_depth(finding, scene) + 6, 4) * (1 - scene.layers.csf) * soft_edge(scene.layers.depth_mm - 3, 1)
    )
    return mixed(canvas, OEDEMA, 0.7 * rim * (canvas < 120))


def _clot_depth(finding: HeadFinding, scene: Scene) -> Volume:
    """Return the signed distance to the border of a lobulated clot, mm, positive inside."""
    across, back, up = finding.outward * scene.at.x - 0.36 * scene.head.half_width, scene.at.y + 4, scene.at.z - 6.0
    angle = np.arctan2(back, across)
    lobes = 1 + 0.12 * np.cos(3 * angle + 0.06 * scene.at.z) + 0.07 * np.cos(5 * angle - 0.1 * scene.at.z)
    distance = np.sqrt((across / 0.85) ** 2 + (back / 1.2) ** 2 + up**2)
    return np.asarray(finding.size_mm / 2 * lobes - distance, dtype=np.float32)


def _intracerebral(finding: HeadFinding, scene: Scene) -> Volume:
    return soft_edge(_clot_depth(finding, scene), 1.5)


def _layer(finding: HeadFinding, scene: Scene, reach: float) -> Volume:
    """Return a layer on the inner table, `size_mm` thick in its middle and gone `reach` mm from there."""
    centre = finding.outward * (scene.head.half_width - scene.head.scalp - scene.head.skull)
    along = np.sqrt((0.5 * (scene.at.x - centre)) ** 2 + (scene.at.y + 8) ** 2 + (scene.at.z - 18) ** 2)
    thickness = finding.size_mm * np.sqrt(np.clip(1 - (along / reach) ** 2, 0, 1))
    same_side = soft_edge(finding.outward * scene.at.x - 6, 4)
    return np.asarray(soft_edge(thickness - scene.layers.depth_mm, 1.0) * (thickness > 0.5) * same_side, np.float32)


def _epidural(finding: HeadFinding, scene: Scene) -> Volume:
    return _layer(finding, scene, 12 + 1.2 * finding.size_mm)


def _subdural(finding: HeadFinding, scene: Scene) -> Volume:
    return _layer(finding, scene, 75.0)


def _subarachnoid(finding: HeadFinding, scene: Scene) -> Volume:
    reach = 1.6 * finding.size_mm
    near = np.exp(-((np.sqrt(scene.at.x**2 + (scene.at.y + 10) ** 2 + (scene.at.z + 26) ** 2) / reach) ** 2))
    return np.asarray(scene.layers.cistern * np.clip(1.4 * near, 0, 1), dtype=np.float32)


def _infarct(finding: HeadFinding, scene: Scene) -> Volume:
    """Return the territory: a wedge that widens towards the surface, from the insula outwards."""
    across = finding.outward * scene.at.x
    half = 0.5 * finding.size_mm * np.clip((across - 10) / 40, 0, 1.2)
    wedge = np.minimum(half - np.abs(scene.at.y + 6), across - 14)
    return soft_edge(np.minimum(wedge, 0.8 * finding.size_mm - np.abs(scene.at.z - 16)), 5.0)


_SHARES = {
    "epidural": _epidural,
    "subdural": _subdural,
    "intracerebral": _intracerebral,
    "subarachnoid": _subarachnoid,
    "infarct": _infarct,
}
