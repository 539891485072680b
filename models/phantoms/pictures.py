# SPDX-License-Identifier: Apache-2.0
"""Draws the contact sheets of docs/phantoms.md: one small PNG for each kind of phantom.

`python -m models.phantoms.pictures docs/pictures`
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.phantoms.chest_radiograph.film import anatomy, radiograph
from models.phantoms.chest_radiograph.lateral import lateral_film
from models.phantoms.chest_radiograph.opacities import ZONES, Disease
from models.phantoms.computed_tomography import ChestPhantom, Involvement
from models.phantoms.head import HeadFinding, HeadPhantom
from models.phantoms.lesion import draw_lesion, random_lesion_phantom
from models.phantoms.mammogram.breast import VIEWS, Breast, Lesion
from models.phantoms.mammogram.view import draw_view
from models.phantoms.preview import save_sheet, windowed

_GREYS = {"radiograph": 40, "hrct": 14}
"""Grey levels of a sheet, 24 for the others: few enough for a small file."""
Sheet = list[list[Image.Image]]


def _grey(picture: NDArray[np.floating], height: int) -> Image.Image:
    image = Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    return image.resize((round(image.width * height / image.height), height), Image.Resampling.BOX)


def _films() -> Sheet:
    diseases = (
        Disease(),
        Disease(levels=dict.fromkeys(ZONES, 10), primary="p", secondary="p"),
        Disease(levels=dict.fromkeys(ZONES, 9), primary="r", secondary="q"),
        Disease(levels=dict.fromkeys(("RL", "LL", "RM", "LM"), 10), primary="t", secondary="t"),
        Disease(levels=dict.fromkeys(ZONES, 6), primary="q", secondary="q", large_zone="RU", large_mm=45),
    )
    body = anatomy(11)
    films = [radiograph(body, disease=disease, seed=11).pixels for disease in diseases]
    right_lungs = [_grey(film[150:520, 100:400], 190) for film in films[1:]]
    return [[_grey(films[0], 190), _grey(lateral_film(13), 190)], right_lungs]


def _chest_ct() -> Sheet:
    patterns = ("normal", "ground_glass", "reticulation", "honeycombing", "micronodules", "emphysema")
    pictures = []
    for pattern in patterns:
        phantom = ChestPhantom(
            seed=15, involvements=(Involvement(pattern=pattern),), slices=24, matrix=400, pixel_mm=0.85
        )
        pictures.append(windowed(phantom.slice(13).hounsfield, centre=-600, width=1500).crop((0, 60, 400, 350)))
    return [
        [picture.resize((172, 125), Image.Resampling.BOX) for picture in row] for row in (pictures[:3], pictures[3:])
    ]


def _breasts() -> Sheet:
    mass = Lesion(depth_mm=42, lateral_mm=12, superior_mm=8, radius_mm=9, density_per_cm=0.6, seed=3)
    spiculated = replace(mass, spicules=16, calcifications=10)
    rows = []
    for breast in (
        Breast(side="L", seed=5, gland=0.15),
        Breast(side="L", seed=8, gland=0.5, lesions=(mass,)),
        Breast(side="L", seed=9, gland=0.8, lesions=(spiculated,)),
    ):
        rows += [_grey(draw_view(breast, view, pitch_mm=0.4).grey[:, :300], 220) for view in VIEWS]
    return [rows]


def _lesions() -> Sheet:
    rows = []
    for kind, centre, width in (("nodule", -500, 1400), ("liver", 80, 220), ("brain", 45, 120)):
        cubes = [draw_lesion(random_lesion_phantom(seed, kind=kind)) for seed in range(6)]
        planes = [windowed(cube.hounsfield[32], centre=centre, width=width) for cube in cubes]
        rows.append([plane.resize((88, 88), Image.Resampling.BICUBIC) for plane in planes])
    return rows


def _heads() -> Sheet:
    findings: tuple[tuple[HeadFinding, ...], ...] = (
        (),
        (HeadFinding(kind="epidural", side="L", size_mm=24),),
        (HeadFinding(kind="subdural", size_mm=12),),
        (HeadFinding(kind="intracerebral", size_mm=38),),
        (HeadFinding(kind="infarct", side="L", size_mm=70),),
    )
    phantoms = [HeadPhantom(seed=7, findings=each, matrix=256, pixel_mm=0.85) for each in findings]
    brains = [windowed(phantom.slice(14).hounsfield, centre=40, width=80) for phantom in phantoms]
    bleeding = HeadPhantom(seed=7, findings=(HeadFinding(kind="subarachnoid", size_mm=45),), matrix=256, pixel_mm=0.85)
    brains.append(windowed(bleeding.slice(22).hounsfield, centre=40, width=80))
    brains.append(windowed(phantoms[0].slice(10).hounsfield, centre=40, width=80))
    brains.append(windowed(phantoms[0].slice(22).hounsfield, centre=600, width=2800))
    shown = [picture.crop((20, 10, 236, 246)).resize((160, 175), Image.Resampling.BOX) for picture in brains]
    return [shown[:4], shown[4:]]


SHEETS: Mapping[str, Callable[[], Sheet]] = MappingProxyType(
    {"radiograph": _films, "hrct": _chest_ct, "mammogram": _breasts, "voi": _lesions, "head-ct": _heads}
)


def draw_sheet(kind: str, folder: Path) -> Path:
    """Draw the sheet of one kind into the folder."""
    coarse = [[picture.quantize(_GREYS.get(kind, 24)).convert("L") for picture in row] for row in SHEETS[kind]()]
    return save_sheet(coarse, folder / f"phantom_{kind}.png")


def main() -> None:
    """Draw every sheet into the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Draw the contact sheets of docs/phantoms.md.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=sorted(SHEETS))
    options = parser.parse_args()
    for kind in [options.only] if options.only else SHEETS:
        path = draw_sheet(kind, options.folder)
        print(f"{path}: {path.stat().st_size} bytes")  # noqa: T201 - the command's output


if __name__ == "__main__":
    main()
