# SPDX-License-Identifier: Apache-2.0
"""The mammography pipeline: which views, whether they can be read, what is on them, and what the exam comes to."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from service.domain.instance import Instance, sop_instance_uids
from service.domain.result import Finding, OperatingPoint, Outcome, PipelineResult, Presence, Reason, Triage
from service.domain.study import Completeness, Refusal, Selection
from service.pipelines.certainty import calibrate, shown_lines
from service.pipelines.mammography.comparison import with_prior
from service.pipelines.mammography.exam_set import exam_set
from service.pipelines.mammography.findings import Thresholds, as_stated, candidates_of, findings_of, shown_marks
from service.pipelines.mammography.gates import FLAG_CODES, exam_flags, header_flags, header_reasons
from service.pipelines.mammography.kinds import DISPLAY_POINT, declared_kinds, display_thresholds
from service.pipelines.mammography.pairs import composites_of, pair_lines, pairs_of, pairs_to_show
from service.pipelines.mammography.pictures import heatmaps_of
from service.pipelines.mammography.reading import ViewReading, read_view
from service.pipelines.mammography.record import exam_values
from service.pipelines.mammography.runs import runs_of
from service.pipelines.mammography.scores import breast_scores, exam_score
from service.pipelines.mammography.sides import density_lines
from service.pipelines.mammography.views import (
    SIDE_NAMES,
    STANDARD_EXAM,
    is_mammogram,
    order_of,
    present_views,
    side_of,
    view_of,
    without_siblings,
)
from service.ports import Package

CANDIDATE_POINT = "candidate"
"""Name of the operating point, which a package may have, from which on a mark may be shown on demand."""
HEADLINE_CHARACTERS = 64


class MammographyPipeline:
    """Finds mass candidates on the standard views of an exam and scores breasts and exam."""

    name = "mammography"

    def completeness(self, instances: Sequence[Instance]) -> Completeness:
        """Complete when both views of both breasts are there For Presentation."""
        mammograms = [instance for instance in instances if is_mammogram(instance)]
        if not mammograms:
            return Completeness.NOT_WANTED
        missing = set(STANDARD_EXAM) - present_views(mammograms)
        return Completeness.INCOMPLETE if missing else Completeness.COMPLETE

    def select(self, instances: Sequence[Instance], acceptance: Mapping[str, Any]) -> Selection | Refusal:
        """Choose the readable views; refuse the exam only when none is left."""
        mammograms = sorted((instance for instance in instances if is_mammogram(instance)), key=order_of)
        if not mammograms:
            reason = Reason(code="no_mammogram", message="(0008,0060) Modality is MG in no instance of the study")
            return Refusal(reasons=(reason,), instances=tuple(instances))
        wanted = without_siblings(mammograms, intents=acceptance["presentation_intents"])
        refused = {instance.sop_instance_uid: header_reasons(instance, acceptance) for instance in wanted}
        reasons = tuple(reason for found in refused.values() for reason in found)
        accepted = tuple(instance for instance in wanted if not refused[instance.sop_instance_uid])
        if not accepted:
            return Refusal(reasons=reasons, instances=tuple(wanted))
        flags = tuple(flag for instance in accepted for flag in header_flags(instance, acceptance))
        return Selection(instances=accepted, flags=(*reasons, *flags, *exam_flags(accepted)))

    def run(self, selection: Selection, package: Package, *, analysed_at: datetime) -> PipelineResult:
        """Read every view and put the exam together; views that cannot be used become refusals of their own."""
        outcomes = [read_view(instance, package) for instance in selection.instances]
        readings = [outcome for outcome in outcomes if isinstance(outcome, ViewReading)]
        reasons = tuple(outcome for outcome in outcomes if isinstance(outcome, Reason))
        if not readings:
            return _not_analysed(selection, package, reasons, analysed_at=analysed_at)
        flags = (*selection.flags, *reasons, *(flag for reading in readings for flag in reading.flags))
        result = _result(selection, package, readings, flags=flags, analysed_at=analysed_at)
        return result if selection.prior is None else with_prior(result, selection.prior)


def _result(
    selection: Selection,
    package: Package,
    readings: Sequence[ViewReading],
    *,
    flags: tuple[Reason, ...],
    analysed_at: datetime,
) -> PipelineResult:
    breasts = breast_scores((reading.side, reading.view, reading.score) for reading in readings)
    thresholds = display_thresholds(package)
    findings = as_stated(findings_of(readings, breasts, thresholds=thresholds), package)
    triage = _triage(package, exam_score(breasts))
    calibrated = calibrate(package, "exam", triage.score)
    answers = exam_set(package, triage.score)
    flags = (*flags, *(answers.flags if answers else ()))
    refused = tuple(flag for flag in flags if flag.code not in FLAG_CODES)
    points = _mark_points(package)
    read = [reading.instance for reading in readings]
    floor = points[-1].threshold if len(points) > 1 else None
    candidates = as_stated(candidates_of(readings, thresholds=thresholds, floor=floor), package)
    pairs = pairs_to_show(pairs_of((*findings, *candidates), readings))
    return PipelineResult(
        pipeline=MammographyPipeline.name,
        study_instance_uid=selection.instances[0].study_instance_uid,
        outcome=_outcome(findings, refused),
        headline=_headline(readings, triage.score, thresholds=thresholds, refused=refused),
        package=package.identity,
        input_sop_instance_uids=sop_instance_uids(read),
        analysed_at=analysed_at,
        findings=findings,
        heatmaps=heatmaps_of(readings, thresholds=thresholds),
        refusals=refused,
        flags=tuple(flag for flag in flags if flag.code in FLAG_CODES),
        triage=triage,
        summary=(
            *_summary(readings, breasts, triage=triage),
            *pair_lines(pairs),
            *density_lines(readings),
            *shown_lines(calibrated),
            *(answers.lines if answers else ()),
        ),
        values={
            **exam_values(readings, breasts, pairs, triage=triage, thresholds=thresholds),
            **(calibrated.as_values("exam") if calibrated else {}),
            **({"exam_set": list(answers.answers)} if answers else {}),
        },
        candidates=candidates,
        composites=composites_of(pairs),
        runs=runs_of(selection.instances, read, kinds=tuple(thresholds), is_whole=not refused),
        mark_points=points,
    )


def _mark_points(package: Package) -> tuple[OperatingPoint, ...]:
    """Return the display threshold, then the floor where the package has one that lies below."""
    points = package.operating_points
    display = OperatingPoint(name=DISPLAY_POINT, threshold=points[DISPLAY_POINT])
    floor = points.get(CANDIDATE_POINT, display.threshold)
    if floor >= display.threshold:
        return (display,)
    return display, OperatingPoint(name=CANDIDATE_POINT, threshold=floor)


def _triage(package: Package, score: float) -> Triage:
    point = package.triage_operating_point
    threshold = package.operating_points[point]
    return Triage(score=score, operating_point=point, threshold=threshold, above_operating_point=score >= threshold)


def _outcome(findings: Sequence[Finding], refused: Sequence[Reason]) -> Outcome:
    if refused:
        return Outcome.PARTLY_ANALYSED
    present = any(finding.presence is Presence.PRESENT for finding in findings)
    return Outcome.FINDINGS if present else Outcome.NO_FINDINGS


def _headline(
    readings: Sequence[ViewReading], score: float, *, thresholds: Thresholds, refused: Sequence[Reason]
) -> str:
    """Return the result line; a refused view is part of it, and where nothing is marked one that never came."""
    marked = [reading for reading in readings if shown_marks(reading, thresholds)]
    count = sum(len(shown_marks(reading, thresholds)) for reading in marked)
    counted = f"{count} mark{'s' if count > 1 else ''}" if count else "no marks"
    is_partial = bool(refused) or (not marked and not _read(readings) >= set(STANDARD_EXAM))
    end = f"exam score {score:.2f}{', not all views' if is_partial else ''}"
    where = "" if refused else _where(marked)
    return f"Mammography: {counted}{where}, {end}"


def _where(marked: Sequence[ViewReading]) -> str:
    """Return " (left MLO)" for marks of one view, " (left breast)" for those of one breast, else nothing."""
    sides, views = {reading.side for reading in marked}, {(reading.side, reading.view) for reading in marked}
    if len(sides) != 1:
        return ""
    name = SIDE_NAMES[marked[0].side]
    return f" ({name} {marked[0].view if len(views) == 1 else 'breast'})"


def _summary(readings: Sequence[ViewReading], breasts: Mapping[str, float], *, triage: Triage) -> tuple[str, ...]:
    views = ", ".join(f"{reading.side} {reading.view} {reading.score:.2f}" for reading in readings)
    sides = ", ".join(f"{SIDE_NAMES[side]} {score:.2f}" for side, score in breasts.items())
    missing = [f"{side} {view}" for side, view in STANDARD_EXAM if (side, view) not in _read(readings)]
    absent = (f"Standard views not read: {', '.join(missing)}",) if missing else ()
    point = f"Exam score {triage.score:.2f}; operating point {triage.operating_point} at {triage.threshold:.2f}"
    return f"View scores: {views}", f"Breast scores: {sides}", point, *absent


def _read(readings: Sequence[ViewReading]) -> set[tuple[str, str]]:
    return {(reading.side, reading.view) for reading in readings}


def _not_analysed(
    selection: Selection, package: Package, reasons: tuple[Reason, ...], *, analysed_at: datetime
) -> PipelineResult:
    """Say that no view could be used, and why."""
    why = reasons[0].code.replace("_", " ")
    earlier = tuple(flag for flag in selection.flags if flag.code not in FLAG_CODES)
    return PipelineResult(
        pipeline=MammographyPipeline.name,
        study_instance_uid=selection.instances[0].study_instance_uid,
        outcome=Outcome.NOT_ANALYSED,
        headline=f"Mammography: not analysed ({why})"[:HEADLINE_CHARACTERS],
        package=package.identity,
        input_sop_instance_uids=sop_instance_uids(selection.instances),
        analysed_at=analysed_at,
        refusals=(*earlier, *reasons),
        runs=runs_of(selection.instances, (), kinds=declared_kinds(package), is_whole=False),
        values={"sides": sorted({side_of(instance) + view_of(instance) for instance in selection.instances})},
    )
