# SPDX-License-Identifier: Apache-2.0
"""Draws the sample studies of `make demo`: one folder of DICOM files for each study.

`python -m models.phantoms.samples FOLDER`
"""

import argparse
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.phantoms.chest_radiograph.film import anatomy, radiograph, stored
from models.phantoms.chest_radiograph.opacities import Disease
from models.phantoms.computed_tomography import ChestPhantom, Involvement
from models.phantoms.computed_tomography.dicom import write_ct_series
from models.phantoms.dicom import PhantomStudy, write_dx
from models.phantoms.mammogram.files import write_mg_exam

COMPLETE = ".complete"
JAPANESE = ("", "ISO 2022 IR 87")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A study to draw: the folder's name says what it shows."""

    name: str
    draw: Callable[[Path], object]


def chest_film(
    folder: Path, *, study: PhantomStudy, seed: int, disease: Disease | None = None, view: str = "PA"
) -> None:
    """Draw one chest radiograph at 0.2 mm."""
    body = anatomy(seed, shape=(2100, 1900), pitch_mm=0.2)
    picture = radiograph(body, disease=disease or Disease(), seed=seed)
    write_dx(folder / "film.dcm", stored(picture), study=study, view=view)


def chest_ct(folder: Path, *, study: PhantomStudy, seed: int, involvements: tuple[Involvement, ...] = ()) -> None:
    """Draw a thin-section CT series."""
    write_ct_series(folder, ChestPhantom(seed=seed, involvements=involvements), study=study)


DUST = Disease(levels={"RU": 9, "LU": 8, "RM": 7, "LM": 7, "RL": 4, "LL": 4}, primary="q", secondary="q")
"""Steps on the 12-point scale: profusion 3/2 to 1/1, more in the upper zones."""

SAMPLES = (
    Sample(
        name="1-chest-film-with-dust-opacities",
        draw=partial(
            chest_film,
            study=PhantomStudy(seed="demo-dust", patient_name="PHANTOM^TARO=人体^模型", character_set=JAPANESE),
            seed=11,
            disease=DUST,
        ),
    ),
    Sample(name="2-chest-film-normal", draw=partial(chest_film, study=PhantomStudy(seed="demo-clear"), seed=12)),
    Sample(
        name="3-chest-film-lateral-to-be-refused",
        draw=partial(chest_film, study=PhantomStudy(seed="demo-lateral"), seed=13, view="LL"),
    ),
    Sample(
        name="4-chest-ct-with-honeycombing",
        draw=partial(
            chest_ct,
            study=PhantomStudy(seed="demo-honeycomb"),
            seed=14,
            involvements=(
                Involvement(pattern="honeycombing", levels=(0.5, 1.0), depth_mm=28.0, share=0.8),
                Involvement(pattern="reticulation", levels=(0.3, 0.5), depth_mm=20.0, share=0.6),
            ),
        ),
    ),
    Sample(name="5-chest-ct-normal", draw=partial(chest_ct, study=PhantomStudy(seed="demo-ct-clear"), seed=15)),
    Sample(
        name="6-mammography-with-a-mass",
        draw=partial(write_mg_exam, study=PhantomStudy(seed="demo-mass", patient_sex="F"), seed=16, mass_in="L"),
    ),
    Sample(
        name="7-mammography-normal",
        draw=partial(write_mg_exam, study=PhantomStudy(seed="demo-mg-clear", patient_sex="F"), seed=22),
    ),
)


def draw_sample(sample: Sample, folder: Path) -> str:
    """Draw a sample unless it is there already; return its name."""
    target = folder / sample.name
    if not (target / COMPLETE).exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        sample.draw(target)
        (target / COMPLETE).touch()
    return sample.name


def draw_all(folder: Path) -> tuple[str, ...]:
    """Draw every sample, on all cores."""
    with ProcessPoolExecutor() as pool:
        return tuple(pool.map(draw_sample, SAMPLES, [folder] * len(SAMPLES)))


def main() -> None:
    """Draw the samples into the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Draw the sample studies of `make demo`.")
    parser.add_argument("folder", type=Path)
    names = draw_all(parser.parse_args().folder)
    print(f"{len(names)} sample studies are ready")  # noqa: T201 - the command's one line of output


if __name__ == "__main__":
    main()
