# SPDX-License-Identifier: Apache-2.0
"""The pneumoconiosis pipeline: one PA chest film in, an ILO reading of small opacities out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from service.codes import dcm
from service.dicom.pixels import read_image
from service.domain.image import Box, Radiograph
from service.domain.instance import Instance, sop_instance_uids
from service.domain.result import (
    AlgorithmRun,
    Outcome,
    PackageStatus,
    PipelineResult,
    Reason,
    RunKind,
    RunStatus,
    Triage,
)
from service.domain.study import Completeness, Refusal, Selection
from service.imaging.masks import bounding_box
from service.imaging.radiograph import as_chest_radiograph
from service.pipelines import familiarity
from service.pipelines.certainty import calibrate
from service.pipelines.familiarity import Distance
from service.pipelines.pneumoconiosis import selection as choice
from service.pipelines.pneumoconiosis.comparison import with_prior
from service.pipelines.pneumoconiosis.contributions import as_values as contribution_values
from service.pipelines.pneumoconiosis.doubts import as_stated, doubts_of
from service.pipelines.pneumoconiosis.explanation import energy_inside, evidence_map, heatmap
from service.pipelines.pneumoconiosis.film_gates import (
    anatomy_flags,
    anatomy_reasons,
    measure_lungs,
    measure_pixels,
    pixel_reasons,
)
from service.pipelines.pneumoconiosis.findings import findings, headline, result_lines, summary
from service.pipelines.pneumoconiosis.heart import PLAUSIBLE, ratio_flags
from service.pipelines.pneumoconiosis.lungs import (
    Film,
    FloatImage,
    Lungs,
    ZoneCrop,
    lungs_on,
    resample_film,
    segmentation_input,
    zone_crops,
)
from service.pipelines.pneumoconiosis.reading import FilmReading, as_values, read_film, read_zone
from service.pipelines.pneumoconiosis.routing import prevalence_of, routing_lines
from service.pipelines.pneumoconiosis.sheet import IloSheet
from service.pipelines.pneumoconiosis.sheet import as_values as sheet_values
from service.pipelines.pneumoconiosis.sheet_reading import read_sheet
from service.pipelines.pneumoconiosis.sheet_rows import reading_sheet
from service.pipelines.pneumoconiosis.view_check import check_view, refusal_reasons
from service.ports import Package

NAME = "pneumoconiosis"
LUNGS, ZONES = "lungseg", "zones"
"""The package's graphs."""


class PneumoconiosisPipeline:
    """Reads small opacities on a PA chest radiograph (service.ports.Pipeline)."""

    @property
    def name(self) -> str:
        """The pipeline's name in config.yaml."""
        return NAME

    def completeness(self, instances: Sequence[Instance]) -> Completeness:
        """Say whether a PA chest film is there."""
        return choice.completeness(instances)

    def select(self, instances: Sequence[Instance], acceptance: Mapping[str, Any]) -> Selection | Refusal:
        """Choose the film (gate G0)."""
        return choice.select(instances, acceptance)

    def run(self, selection: Selection, package: Package, *, analysed_at: datetime) -> PipelineResult:
        """Decode, check, segment, read and explain.

        Raises
        ------
        PixelError
            The pixel data cannot be decoded.
        """
        radiograph = as_chest_radiograph(read_image(selection.instances[0].path))
        blank = _blank(selection, package, analysed_at)
        analysis = _analyse(radiograph, package)
        if isinstance(analysis, Refused):
            return replace(blank, headline=_refusal_line(analysis), refusals=analysis.reasons, values=analysis.values)
        read = replace(blank, runs=_runs(selection, RunStatus.SUCCEEDED))
        result = _result(read, analysis, radiograph=radiograph, package=package)
        return result if selection.prior is None else with_prior(result, analysis.sheet.reading, selection.prior)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The film was not analysed, and why."""

    reasons: tuple[Reason, ...]
    values: dict[str, Any]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Analysis:
    """Everything that was found on the film."""

    film: Film
    lungs: Lungs
    crops: tuple[ZoneCrop, ...]
    sheet: IloSheet
    cams: np.ndarray[Any, np.dtype[np.float32]]
    flags: tuple[Reason, ...]
    values: dict[str, Any]
    lines: tuple[str, ...] = ()


def _blank(selection: Selection, package: Package, analysed_at: datetime) -> PipelineResult:
    return PipelineResult(
        pipeline=NAME,
        study_instance_uid=selection.instances[0].study_instance_uid,
        outcome=Outcome.NOT_ANALYSED,
        headline="",
        package=package.identity,
        input_sop_instance_uids=sop_instance_uids(selection.instances),
        analysed_at=analysed_at,
        flags=selection.flags,
        runs=_runs(selection, RunStatus.FAILED),
    )


def _runs(selection: Selection, status: RunStatus) -> tuple[AlgorithmRun, ...]:
    """Return how looking for small opacities, rounded and irregular, ended on the film."""
    uids = sop_instance_uids(selection.instances)
    return tuple(
        AlgorithmRun(kind=RunKind.DETECTION, subject=dcm(value), status=status, sop_instance_uids=uids)
        for value in ("112126", "112125")
    )


def _refusal_line(refused: Refused) -> str:
    return f"Not analysed: {', '.join(reason.code.replace('_', ' ') for reason in refused.reasons)}"[:64]


def _analyse(radiograph: Radiograph, package: Package) -> Analysis | Refused:
    """Pass the film through gates G1 and G2, then read it."""
    values: dict[str, Any] = dict(measure_pixels(radiograph))
    reasons = (*_geometry_reasons(radiograph), *pixel_reasons(values, package.acceptance))
    if reasons or radiograph.pixel_spacing_mm is None:
        return Refused(reasons=reasons, values=values)
    pixel_mm = float(package.parameters["pixel_mm"])
    values["pixel_spacing_mm"] = max(radiograph.pixel_spacing_mm)
    film = resample_film(radiograph, spacing_mm=radiograph.pixel_spacing_mm, pixel_mm=pixel_mm)
    lungs, probabilities, distances = _find_lungs(film, package)
    values |= {**measure_lungs(film, lungs, probabilities), **familiarity.as_values(distances)}
    reasons = anatomy_reasons(values, package.acceptance)
    view = check_view(film, probabilities, package, is_refused=bool(reasons))
    values |= view.values
    unlike = familiarity.refusals(distances, name="the film")
    if reasons or view.reasons or unlike:
        return Refused(reasons=(*refusal_reasons(view, reasons), *unlike), values=values)
    return _read(film, lungs, package, values=values, flags=view.flags)


def _geometry_reasons(radiograph: Radiograph) -> tuple[Reason, ...]:
    """Refuse a film whose scale or direction is unknown to the decoder, whatever its header seemed to say."""
    reasons = []
    if radiograph.pixel_spacing_mm is None:
        message = "(0018,1164) Imager Pixel Spacing and (0028,0030) Pixel Spacing are absent; size in mm is unknown"
        reasons.append(Reason(code="pixel_spacing_missing", message=message))
    if radiograph.patient_orientation not in {None, ("L", "F")}:
        message = "(0020,0020) Patient Orientation is not that of a frontal film"
        reasons.append(Reason(code="orientation", message=message))
    return tuple(reasons)


def _find_lungs(film: Film, package: Package) -> tuple[Lungs, FloatImage, tuple[Distance, ...]]:
    boxed, to_film = segmentation_input(film.pixels)
    outputs = package.run(LUNGS, {"film": boxed})
    probabilities = outputs["masks"][0]
    lungs = lungs_on(film.pixels, probabilities, to_film, find=partial(_find_masks, package))
    distances = familiarity.measure(package.reliability.out_of_distribution, LUNGS, outputs)
    return lungs, probabilities, distances


def _find_masks(package: Package, boxed: FloatImage) -> FloatImage:
    return package.run(LUNGS, {"film": boxed})["masks"]


def _read(
    film: Film, lungs: Lungs, package: Package, *, values: dict[str, Any], flags: tuple[Reason, ...]
) -> Analysis | Refused:
    """Read the zones, unless they are unlike any that the package has seen (gate G3)."""
    crops = tuple(zone_crops(film, lungs, size=int(package.parameters["crop_size"])))
    outputs = package.run(ZONES, {"zones": np.stack([crop.tensor for crop in crops])})
    limits = package.reliability
    distances = familiarity.measure(limits.out_of_distribution, ZONES, outputs)
    values = {**values, **familiarity.as_values(distances)}
    reasons = familiarity.refusals(distances, name="the film")
    if reasons:
        return Refused(reasons=reasons, values=values)
    zone_cm2 = (film.pixel_mm / 10) ** 2
    reading = read_film(
        [
            read_zone(crop.name, profusion, shapes, area_cm2=float(crop.mask.sum()) * zone_cm2)
            for crop, profusion, shapes in zip(crops, outputs["profusion_logits"], outputs["shape_logits"], strict=True)
        ]
    )
    sheet = read_sheet(film, lungs, crops, reading, values=values, package=package)
    disagreement = familiarity.measure(limits.disagreement, ZONES, outputs)
    doubts = doubts_of(reading, package, outputs=outputs, disagreement=disagreement)
    return Analysis(
        film=film,
        lungs=lungs,
        crops=crops,
        sheet=sheet,
        cams=outputs["cam"],
        flags=(
            *flags,
            *anatomy_flags(values, package.acceptance),
            *_reading_flags(sheet, package),
            *doubts.flags,
        ),
        values={
            **values,
            **as_values(reading),
            **sheet_values(sheet),
            **contribution_values(sheet.contributions),
            **doubts.values,
        },
        lines=doubts.lines,
    )


def _reading_flags(sheet: IloSheet, package: Package) -> tuple[Reason, ...]:
    """Doubt the outlines where the chest has odd proportions, and disease of one lung."""
    low, high = package.acceptance.get("cardiothoracic_ratio", PLAUSIBLE)
    flags = ratio_flags(sheet.quality.cardiothoracic_ratio, (float(low), float(high)))
    if not sheet.reading.abnormal or sheet.reading.bilateral:
        return flags
    message = "small opacities were read in one lung alone, which is unusual for pneumoconiosis"
    return (*flags, Reason(code="unilateral", message=message))


def _result(blank: PipelineResult, analysis: Analysis, *, radiograph: Radiograph, package: Package) -> PipelineResult:
    sheet, film = analysis.sheet, analysis.film
    triage = _triage(sheet.reading, package)
    calibrated = calibrate(package, "film", sheet.reading.score)
    may_name_type = package.identity.status is not PackageStatus.DEMONSTRATION
    scores = result_lines(
        sheet, threshold_name=triage.operating_point, threshold=triage.threshold, calibrated=calibrated
    )
    lines = (*scores, *analysis.lines)
    evidence = evidence_map(film, analysis.crops, analysis.cams, full_logit=float(package.parameters["cam_full_logit"]))
    energy = energy_inside(evidence, analysis.lungs)
    return replace(
        blank,
        outcome=Outcome.FINDINGS if sheet.is_abnormal else Outcome.NO_FINDINGS,
        headline=headline(sheet, name_type=may_name_type),
        findings=tuple(
            as_stated(finding, package)
            for finding in findings(
                sheet,
                name_type=may_name_type,
                lungs_box=_box(analysis.lungs.both),
                zone_boxes={crop.name: _as_floats(crop.box) for crop in analysis.crops},
                to_source=film.to_source,
                radiograph=radiograph,
            )
        ),
        heatmaps=(
            heatmap(radiograph, film, evidence=evidence, crops=analysis.crops, zones=sheet.reading.zones, lines=lines),
        ),
        flags=(*blank.flags, *analysis.flags, *_energy_flags(sheet.reading, energy, package)),
        triage=triage,
        summary=(*routing_lines(triage, package), *summary(sheet), *analysis.lines),
        sheet=reading_sheet(sheet),
        values={**analysis.values, "energy_in_lungs": energy, "prevalence": prevalence_of(package)},
    )


def _triage(reading: FilmReading, package: Package) -> Triage:
    name = package.triage_operating_point
    threshold = package.operating_points[name]
    score = round(reading.score, 6)
    return Triage(score=score, operating_point=name, threshold=threshold, above_operating_point=score >= threshold)


def _energy_flags(reading: FilmReading, energy: float, package: Package) -> tuple[Reason, ...]:
    """Doubt a positive reading that is explained from outside the lungs; a negative one has nothing to explain."""
    least = package.parameters["energy_in_lungs_min"]
    if energy >= least or not reading.abnormal:
        return ()
    message = f"{100 * energy:.0f} % of the explanation lies inside the lungs; below {100 * least:.0f} % it is doubtful"
    return (Reason(code="energy_outside_lungs", message=message),)


def _box(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> Box:
    return _as_floats(bounding_box(mask) or (0, 0, mask.shape[1], mask.shape[0]))


def _as_floats(box: tuple[int, int, int, int]) -> Box:
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])
