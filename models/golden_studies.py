# SPDX-License-Identifier: Apache-2.0
"""Draws the golden studies of the demonstration packages: two or three phantom studies for each, small on disk.

Small means the coarsest pixels that the package accepts, no more bits than the noise leaves meaningful, and lossless
JPEG-LS.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np
import pydicom
from pydicom.uid import JPEGLSLossless

from models.packaging import StudySource
from models.phantoms.chest_radiograph.film import anatomy, radiograph, stored
from models.phantoms.chest_radiograph.opacities import NORMAL, Disease
from models.phantoms.chest_radiograph.pleura import CLEAR_PLEURA, Pleura, SidePleura, pleural_path
from models.phantoms.computed_tomography import ChestPhantom, Involvement
from models.phantoms.computed_tomography.dicom import write_ct_series
from models.phantoms.dicom import PhantomStudy, write_dx
from models.phantoms.mammogram.breast import Side
from models.phantoms.mammogram.files import write_mg_exam

Draw = Callable[[Path], object]
_FILM_MM = 0.3
_FILM_SHAPE = (1400, 1268)
_CT_SLICES = 9
_CT_MATRIX = 380
_CT_PIXEL_MM = 0.94
_BITS = {"pneumoconiosis": 10, "diffuse_lung": 12, "mammography": 8}
"""Bits stored, by pipeline; HU need all of theirs."""


def _film(folder: Path, *, seed: int, disease: Disease = NORMAL, pleura: Pleura = CLEAR_PLEURA) -> None:
    body = anatomy(seed, shape=_FILM_SHAPE, pitch_mm=_FILM_MM)
    right, left, _ = body.masks
    drawn = pleural_path(pleura, right, left, pitch_mm=_FILM_MM, rng=np.random.default_rng([seed, 10]))
    picture = radiograph(body, disease=disease, seed=seed, added_mm=drawn.path_mm)
    study = PhantomStudy(seed=f"golden-film-{seed}")
    write_dx(folder / "film.dcm", stored(picture), study=study, pixel_spacing_mm=_FILM_MM)


def _ct(folder: Path, *, seed: int, involvements: tuple[Involvement, ...] = ()) -> None:
    phantom = ChestPhantom(
        seed=seed, involvements=involvements, slices=_CT_SLICES, matrix=_CT_MATRIX, pixel_mm=_CT_PIXEL_MM
    )
    write_ct_series(folder, phantom, study=PhantomStudy(seed=f"golden-ct-{seed}"))


def _mammograms(folder: Path, *, seed: int, mass_in: Side | None = None, distortion_in: Side | None = None) -> None:
    study = PhantomStudy(seed=f"golden-mg-{seed}", patient_sex="F")
    write_mg_exam(folder, study=study, seed=seed, mass_in=mass_in, distortion_in=distortion_in)


_DUST = Disease(levels={"RU": 9, "LU": 8, "RM": 7, "LM": 7, "RL": 4, "LL": 4}, primary="q", secondary="q")
_MASS = Disease(levels=dict.fromkeys(("RU", "RM", "LU", "LM"), 7), primary="q", large_zone="RU", large_mm=38.0)
_PLEURA = Pleura(sides={"L": SidePleura(thickening_mm=9.0, extent=0.5, angle_mm=34.0)})
_BASAL = (
    Involvement(pattern="honeycombing", levels=(0.5, 1.0), depth_mm=28.0, share=0.8),
    Involvement(pattern="reticulation", levels=(0.3, 0.5), depth_mm=20.0, share=0.6),
)
GOLDEN: Mapping[str, Mapping[str, Draw]] = MappingProxyType(
    {
        "pneumoconiosis": {
            "dust": partial(_film, seed=61, disease=_DUST),
            "clear": partial(_film, seed=62),
            "mass": partial(_film, seed=65, disease=_MASS, pleura=_PLEURA),
        },
        "diffuse_lung": {"honeycombing": partial(_ct, seed=63, involvements=_BASAL), "clear": partial(_ct, seed=64)},
        "mammography": {
            "lesions": partial(_mammograms, seed=200, mass_in="L", distortion_in="R"),
            "clear": partial(_mammograms, seed=194),
        },
    }
)
"""By pipeline, then by the study's name."""


@contextmanager
def drawn(pipeline: str) -> Iterator[dict[str, StudySource]]:
    """Draw the golden studies of a pipeline into a folder that lives as long as the context."""
    with TemporaryDirectory(prefix="golden-") as scratch:
        sources = {}
        for name, draw in GOLDEN[pipeline].items():
            folder = Path(scratch) / name
            folder.mkdir()
            draw(folder)
            for path in folder.glob("*.dcm"):
                _shrink(path, bits=_BITS[pipeline])
            sources[name] = StudySource(folder=folder)
        yield sources


def _shrink(path: Path, *, bits: int) -> None:
    """Drop the lowest bits, together with the window that they are seen through, and compress without further loss."""
    dataset = pydicom.dcmread(path)
    drop = dataset.BitsStored - bits
    if drop > 0:
        dataset.PixelData = (dataset.pixel_array >> drop).tobytes()
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        dataset.WindowCenter = float(dataset.WindowCenter) / (1 << drop)
        dataset.WindowWidth = float(dataset.WindowWidth) / (1 << drop)
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
