# SPDX-License-Identifier: Apache-2.0
"""Phantom studies as different sites would make them: one small study of each pipeline, by seed and setting.

Mammograms and films are drawn at a coarser pitch than the pipelines accept from a modality, CT with few slices: the
selection is left out, and the numbers that depend on it (`spacing_mm`) are not part of a reference.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from models.phantoms.chest_radiograph.film import Scanner as FilmScanner
from models.phantoms.chest_radiograph.film import anatomy, radiograph, stored
from models.phantoms.chest_radiograph.film import random_scanner as any_film_scanner
from models.phantoms.chest_radiograph.opacities import NORMAL, random_disease
from models.phantoms.computed_tomography import ChestPhantom, Involvement
from models.phantoms.computed_tomography.dicom import write_ct_series
from models.phantoms.computed_tomography.scanner import Scanner as CtScanner
from models.phantoms.computed_tomography.scanner import usual_scanner
from models.phantoms.dicom import PhantomStudy, write_dx
from models.phantoms.mammogram.acquisition import Scanner as MgScanner
from models.phantoms.mammogram.acquisition import random_scanner as any_mg_scanner
from models.phantoms.mammogram.files import write_mg_exam

MG_MM: Final = 0.2
FILM_MM: Final = 0.5
FILM_SHAPE: Final = (840, 760)
CT_SLICES: Final = 5
CT_MATRIX: Final = 380
CT_MM: Final = 0.94

USUAL, NOISE, BLUR, LEVEL, PROCESSING = "usual", "noise", "blur", "level", "processing"
ANY: Final = "any"
"""The scanners of training: another one for each study. All others are settings of one site's own scanner."""
SETTINGS: Final = (ANY, USUAL, NOISE, BLUR, LEVEL, PROCESSING)

_MG: Final[Mapping[str, MgScanner]] = MappingProxyType(
    {
        USUAL: MgScanner(blur_mm=0.12),
        NOISE: MgScanner(blur_mm=0.12, quanta_per_mm2=1.3e6),
        BLUR: MgScanner(blur_mm=0.30),
        LEVEL: MgScanner(blur_mm=0.12, fat_level=0.34),
        PROCESSING: MgScanner(blur_mm=0.12, gamma=1.35, sharpening=0.9),
    }
)
_FILM: Final[Mapping[str, FilmScanner]] = MappingProxyType(
    {
        USUAL: FilmScanner(),
        NOISE: FilmScanner(photons_per_mm2=4e4),
        BLUR: FilmScanner(blur_mm=0.5),
        LEVEL: FilmScanner(brightness=0.35),
        PROCESSING: FilmScanner(detail=1.9, contrast=1.25),
    }
)
_CT: Final[Mapping[str, CtScanner]] = MappingProxyType(
    {
        USUAL: CtScanner(),
        NOISE: CtScanner(noise_hu=60.0),
        BLUR: CtScanner(blur_mm=0.8),
        LEVEL: CtScanner(offset_hu=30.0),
        PROCESSING: CtScanner(blur_mm=0.7, sharpening=0.0, grain_mm=0.6),
    }
)
_PATTERNS: Final = ("honeycombing", "reticulation", "consolidation", "emphysema")


def _near(scanner: Any, rng: np.random.Generator) -> Any:
    """Return the setting as it is from day to day: each number within some 3 %."""
    numbers = {name: getattr(scanner, name) for name in scanner.__dataclass_fields__}
    return replace(
        scanner, **{name: value * float(np.exp(0.03 * rng.standard_normal())) for name, value in numbers.items()}
    )


def _scanner(settings: Mapping[str, Any], setting: str, any_of: Callable[[np.random.Generator], Any], seed: int) -> Any:
    rng = np.random.default_rng([seed, 81])
    return any_of(rng) if setting == ANY else _near(settings[setting], rng)


def draw_mammograms(folder: Path, *, seed: int, setting: str, diseased: bool) -> None:
    """Write the four views of one woman."""
    write_mg_exam(
        folder,
        study=PhantomStudy(seed=f"drift-mg-{seed}", patient_sex="F"),
        seed=seed,
        mass_in=("L", "R")[seed % 2] if diseased else None,
        pitch_mm=MG_MM,
        scanner=_scanner(_MG, setting, any_mg_scanner, seed),
    )


def draw_film(folder: Path, *, seed: int, setting: str, diseased: bool) -> None:
    """Write one chest film."""
    disease = random_disease(np.random.default_rng([seed, 82])) if diseased else NORMAL
    body = anatomy(seed, shape=FILM_SHAPE, pitch_mm=FILM_MM)
    picture = radiograph(body, disease=disease, scanner=_scanner(_FILM, setting, any_film_scanner, seed), seed=seed)
    study = PhantomStudy(seed=f"drift-film-{seed}")
    write_dx(folder / "film.dcm", stored(picture), study=study, pixel_spacing_mm=FILM_MM)


def draw_ct(folder: Path, *, seed: int, setting: str, diseased: bool) -> None:
    """Write a few slices of one chest."""
    rng = np.random.default_rng([seed, 83])
    pattern = str(rng.choice(_PATTERNS))
    involved = Involvement(
        pattern=pattern, levels=(0.3, 1.0), depth_mm=rng.uniform(15, 40), share=rng.uniform(0.4, 0.9)
    )
    phantom = ChestPhantom(
        seed=seed,
        involvements=(involved,) if diseased else (),
        slices=CT_SLICES,
        matrix=CT_MATRIX,
        pixel_mm=CT_MM,
        scanner=_scanner(_CT, setting, usual_scanner, seed),
    )
    write_ct_series(folder, phantom, study=PhantomStudy(seed=f"drift-ct-{seed}"))


DRAW: Final[Mapping[str, Callable[..., None]]] = MappingProxyType(
    {"mammography": draw_mammograms, "pneumoconiosis": draw_film, "diffuse_lung": draw_ct}
)
"""By pipeline: how a study is drawn."""
