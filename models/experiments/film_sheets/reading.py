# SPDX-License-Identifier: Apache-2.0
"""Draws one film, runs the pipeline on its DICOM file, and reads the answers off the sheet as people see it."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from models.drift.studies import instance_of
from models.experiments.film_sheets.plan import Study
from models.phantoms.chest_radiograph.film import Scanner, anatomy, radiograph, random_scanner, shifted_scanner, stored
from models.phantoms.chest_radiograph.opacities import PROFUSION, ZONES
from models.phantoms.dicom import PhantomStudy, write_dx
from service.domain.result import PipelineResult
from service.domain.sheet import ReadingSheet
from service.domain.study import Selection
from service.inference.package import LoadedPackage
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline
from service.pipelines.pneumoconiosis.reading import AFFECTED
from service.pipelines.pneumoconiosis.sheet_rows import zone_title

CONDITIONS: Final[Mapping[str, Callable[[np.random.Generator], Scanner]]] = MappingProxyType(
    {"scanner-shift": shifted_scanner, "in-domain": random_scanner}
)
"""By condition, how a film's scanner is drawn; the harder one is first."""
SEED: Final = 98_000
"""Bodies are numbered from here; nothing that is trained or tuned on is."""
_SIZE_MM: Final = (420.0, 380.0)
_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetReading:
    """What the sheet of a study says: steps of the 12-point scale by zone and overall, shape, candidate type."""

    study: Study
    condition: str
    zones: Mapping[str, int]
    overall: int
    shape: str
    candidate: str


def true_overall(study: Study) -> float:
    """Return the mean level of the zones of 0/1 or more, of all zones where there is none, as the pipeline counts."""
    levels = [study.disease.levels[zone] for zone in ZONES]
    return float(np.mean([level for level in levels if level >= AFFECTED] or levels))


def read_study(study: Study, condition: str, package: LoadedPackage, *, pitch_mm: float) -> SheetReading | None:
    """Return the sheet's answers; None where the film was refused."""
    sheet = analyse(study, condition, package, pitch_mm=pitch_mm).sheet
    return None if sheet is None else _answers(sheet, study, condition)


def analyse(study: Study, condition: str, package: LoadedPackage, *, pitch_mm: float) -> PipelineResult:
    """Draw the study at this pitch, write it as DICOM and analyse the file; gates of headers are not asked."""
    rng = np.random.default_rng([SEED, study.number, list(CONDITIONS).index(condition)])
    shape = (round(_SIZE_MM[0] / pitch_mm), round(_SIZE_MM[1] / pitch_mm))
    body = anatomy(SEED + study.number, shape=shape, pitch_mm=pitch_mm)
    scanner = CONDITIONS[condition](rng)
    picture = radiograph(body, disease=study.disease, scanner=scanner, seed=int(rng.integers(2**31)))
    with tempfile.TemporaryDirectory(prefix="film-sheets-") as scratch:
        path = Path(scratch) / "film.dcm"
        about = PhantomStudy(seed=f"sheet-{study.number}")
        write_dx(path, stored(picture), study=about, pixel_spacing_mm=pitch_mm)
        return PneumoconiosisPipeline().run(Selection(instances=(instance_of(path),)), package, analysed_at=_AT)


def _answers(sheet: ReadingSheet, study: Study, condition: str) -> SheetReading:
    rows = {row.name: row.answer for section in sheet.sections for row in section.rows}
    return SheetReading(
        study=study,
        condition=condition,
        zones={zone: _step(rows[zone_title(zone)]) for zone in ZONES},
        overall=_step(rows["Profusion"]),
        shape=rows["Shape and size"].partition("/")[0],
        candidate=rows["Type, candidate"].partition(":")[0],
    )


def _step(answer: str) -> int:
    """Return the step that an answer begins with: "1/1, score ..." or "1/1 (category 1)"."""
    return PROFUSION.index(answer.replace(",", " ").split()[0])
