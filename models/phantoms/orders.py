# SPDX-License-Identifier: Apache-2.0
"""From what is asked for on the command line to plans of phantoms; unknown names are refused with the known ones."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

import numpy as np

from models.phantoms.chest_radiograph.opacities import PROFUSION, SHAPES, ZONES, Disease
from models.phantoms.computed_tomography import PATTERNS, ChestPhantom, Involvement
from models.phantoms.dicom import PhantomStudy
from models.phantoms.head import HeadFinding, HeadPhantom
from models.phantoms.head.dicom import write_head_series
from models.phantoms.lesion import draw_lesion, random_lesion_phantom
from models.phantoms.lesion.files import write_lesion_pair, write_lesion_series
from models.phantoms.lesion.kinds import LesionPhantom, sized
from models.phantoms.mammogram.breast import VIEWS, Breast, Lesion, random_breast, random_distortion, random_lesion
from models.phantoms.variants.plans import ChestCtPlan, MammogramPlan, Plan, RadiographPlan, Written, nobody
from service.domain.errors import ConfigurationError

Options = Mapping[str, Any]
"""Name of an option, with underscores, to its value; None stands for one that was not given."""


def known(what: str, value: str, names: Collection[str]) -> str:
    """Return the value; ConfigurationError naming the known ones when it is none of them."""
    if value not in names:
        raise ConfigurationError(f"there is no {what} '{value}'; known are {', '.join(names)}")
    return value


def _between(option: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ConfigurationError(f"--{option} is {value:g}; {low:g} to {high:g} can be drawn")
    return value


def radiograph_plan(seed: int, options: Options) -> Plan:
    """Plan a chest film: `profusion` on the ILO 12-point scale, `shape` as "q" or "q/t", `zone` names, `large_mm`."""
    level = PROFUSION.index(known("profusion", options.get("profusion") or "0/0", PROFUSION))
    shapes = [known("shape", part, SHAPES) for part in (options.get("shape") or "q").split("/")]
    zones = [known("zone", zone, ZONES) for zone in options.get("zone") or ZONES]
    large = _between("large-mm", options.get("large_mm") or 0.0, 0, 120)
    disease = Disease(
        levels=dict.fromkeys(zones, level),
        primary=shapes[0],
        secondary=shapes[-1],
        large_zone=zones[0] if large else "",
        large_mm=large,
    )
    return RadiographPlan(seed=seed, disease=disease)


def hrct_plan(seed: int, options: Options) -> Plan:
    """Plan a chest CT: `pattern`, its `extent` in percent of the region, `side`, `levels`, `depth_mm`, `slices`."""
    involvements: tuple[Involvement, ...] = ()
    if options.get("pattern"):
        top, bottom = options.get("levels") or (0.0, 1.0)
        side = options.get("side") or "both"
        drawn = Involvement(
            pattern=known("pattern", options["pattern"], PATTERNS),
            levels=(_between("top", top, 0, 1), _between("bottom", bottom, 0, 1)),
            sides={"R": "R", "L": "L", "both": "RL"}[known("side", side, ("R", "L", "both"))],
            depth_mm=options.get("depth_mm"),
            share=_between("extent", options.get("extent") or 100.0, 1, 100) / 100,
        )
        involvements = (drawn,)
    slices = int(_between("slices", options.get("slices") or 160, 8, 480))
    phantom = ChestPhantom(seed=seed, involvements=involvements, slices=slices)
    return ChestCtPlan(phantom=phantom, thickness_mm=options.get("thickness_mm") or min(1.5, round(240 / slices, 2)))


def mammogram_plan(seed: int, options: Options) -> Plan:
    """Plan an exam: `mass_mm`, `spicules` and `calcifications` in `breast` ("L" or "R"), `view` for one view alone.

    Spicules without a mass are an architectural distortion.
    """
    side = known("breast", options.get("breast") or "L", ("L", "R"))
    views = VIEWS if not options.get("view") else (known("view", options["view"], VIEWS),)
    left, right = random_breast("L", seed), random_breast("R", seed)
    diseased = _with_lesion(left if side == "L" else right, seed, options)
    return MammogramPlan(
        left=diseased if side == "L" else left,
        right=right if side == "L" else diseased,
        views=cast("tuple[Literal['CC', 'MLO'], ...]", views),
    )


def _with_lesion(breast: Breast, seed: int, options: Options) -> Breast:
    mass, grains, spicules = (options.get(name) for name in ("mass_mm", "calcifications", "spicules"))
    count = int(_between("calcifications", grains or 0, 0, 60))
    strands = int(_between("spicules", spicules or 0, 0, 40))
    if strands and not mass:
        distortion = replace(random_distortion(breast, seed), spicules=strands, calcifications=count)
        return replace(breast, lesions=(distortion,))
    if not mass and not count:
        return breast
    lesion: Lesion = random_lesion(breast, seed)
    lesion = replace(
        lesion,
        radius_mm=_between("mass-mm", mass or 6.0, 3, 60) / 2,
        density_per_cm=lesion.density_per_cm if mass else 0.02,
        calcifications=count,
        spicules=strands,
    )
    return replace(breast, lesions=(lesion,))


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionPlan:
    """A lesion as a CT series and as voxels with their mask."""

    phantom: LesionPhantom

    @property
    def files(self) -> int:
        """One for each plane."""
        return self.phantom.matrix

    def write(self, folder: Path, study: PhantomStudy, *, written: Written = nobody) -> tuple[Path, ...]:
        """Write the series, and `lesion.npz` beside it."""
        drawn = draw_lesion(self.phantom)
        write_lesion_pair(folder / "lesion.npz", drawn)
        return write_lesion_series(folder, drawn, study=study, written=written)


def voi_plan(seed: int, options: Options) -> Plan:
    """Plan a lesion: `lesion` (its kind), `diameter_mm`, `contrast_hu`, `ring`, `matrix`."""
    matrix = int(_between("matrix", options.get("matrix") or 64, 16, 256))
    phantom = random_lesion_phantom(seed, kind=options.get("lesion") or "nodule", matrix=matrix)
    if options.get("diameter_mm"):
        phantom = sized(phantom, diameter_mm=_between("diameter-mm", options["diameter_mm"], 2, 120))
    if options.get("contrast_hu") is not None:
        phantom = replace(phantom, contrast_hu=_between("contrast-hu", options["contrast_hu"], -1500, 2500))
    if options.get("ring") is not None:
        phantom = replace(phantom, ring_hu=(phantom.ring_hu or 0.8 * abs(phantom.contrast_hu)) * bool(options["ring"]))
    return LesionPlan(phantom=phantom)


@dataclass(frozen=True, kw_only=True)
class HeadPlan:
    """A head as a CT series."""

    phantom: HeadPhantom

    @property
    def files(self) -> int:
        """One for each slice."""
        return self.phantom.slices

    def write(self, folder: Path, study: PhantomStudy, *, written: Written = nobody) -> tuple[Path, ...]:
        """Write the series."""
        return write_head_series(folder, self.phantom, study=study, written=written)


def head_plan(seed: int, options: Options) -> Plan:
    """Plan a head: `finding`, its `side`, `size_mm` and `shift_mm`; `thickness_mm` of the slices."""
    findings: tuple[HeadFinding, ...] = ()
    if options.get("finding"):
        usual = {"epidural": 22.0, "subdural": 10.0, "subarachnoid": 35.0, "infarct": 60.0}
        size = options.get("size_mm") or usual.get(options["finding"], 32.0)
        findings = (
            HeadFinding(
                kind=options["finding"],
                side=options.get("side") or "R",
                size_mm=_between("size-mm", size, 3, 90),
                shift_mm=options.get("shift_mm"),
            ),
        )
    thickness = _between("thickness-mm", options.get("thickness_mm") or 5.0, 0.5, 10)
    return HeadPlan(phantom=HeadPhantom(seed=seed, findings=findings, thickness_mm=thickness))


PLANNERS: Mapping[str, Callable[[int, Options], Plan]] = MappingProxyType(
    {
        "radiograph": radiograph_plan,
        "hrct": hrct_plan,
        "mammogram": mammogram_plan,
        "voi": voi_plan,
        "head-ct": head_plan,
    }
)


def derived_seeds(seed: int, count: int) -> tuple[int, ...]:
    """Return the seeds of `count` phantoms: `seed` and those that follow it."""
    return tuple(int(number) for number in np.arange(count) + seed)
