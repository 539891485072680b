# SPDX-License-Identifier: Apache-2.0
"""The diffuse lung pipeline: gates, slices one at a time, shares by pattern, findings and pictures."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.instance import Instance, sop_instance_uids
from service.domain.result import AlgorithmRun, Outcome, PipelineResult, Reason, RunKind, RunStatus, Triage
from service.domain.study import Completeness, Refusal, Selection
from service.pipelines.certainty import calibrate, shown_lines
from service.pipelines.diffuse_lung import selection as headers
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.anatomy import anatomy_flags, anatomy_refusals
from service.pipelines.diffuse_lung.dense import see_lung
from service.pipelines.diffuse_lung.doubts import PatchTally
from service.pipelines.diffuse_lung.extent import PROBABILITY, Classify, in_batches, in_fields
from service.pipelines.diffuse_lung.findings import absent, make_findings, reported
from service.pipelines.diffuse_lung.gates import reason, spacing_flags, stack_reasons
from service.pipelines.diffuse_lung.lung_extent import LungExtent, measure_slices
from service.pipelines.diffuse_lung.maps import make_abnormality_map, make_label_map
from service.pipelines.diffuse_lung.patterns import NORMAL
from service.pipelines.diffuse_lung.pictures import make_heatmaps
from service.pipelines.diffuse_lung.plan import NAME, Plan
from service.pipelines.diffuse_lung.readout import Readout
from service.pipelines.diffuse_lung.series import group_series, in_slice_mode
from service.pipelines.diffuse_lung.slices import iterate, with_frames
from service.pipelines.diffuse_lung.summary import headline
from service.ports import Package

_GRAPH = "patterns"
_HEADLINE = 64


class DiffuseLung:
    """Percent of lung by pattern, side and zone on one thin-section CT series."""

    @property
    def name(self) -> str:
        """The pipeline's name in config.yaml."""
        return NAME

    def completeness(self, instances: Sequence[Instance]) -> Completeness:
        """Say whether the axial slices so far lie without gaps."""
        return headers.completeness(instances)

    def select(self, instances: Sequence[Instance], acceptance: Mapping[str, Any]) -> Selection | Refusal:
        """Choose the best series, or refuse with every reason against the nearest one."""
        return headers.select(instances, Acceptance.parse(acceptance))

    def run(self, selection: Selection, package: Package, *, analysed_at: datetime) -> PipelineResult:
        """Analyse the selected series."""
        analysis = _Analysis(selection, package, analysed_at)
        return analysis.result()


class _Analysis:
    """One run: keeps what every result of it says."""

    def __init__(self, selection: Selection, package: Package, analysed_at: datetime) -> None:
        self._selection = selection
        self._package = package
        self._analysed_at = analysed_at
        self._acceptance = Acceptance.parse(package.acceptance)
        self._plan = Plan.of(package.parameters)
        self._series = with_frames(group_series(selection.instances)[0])
        self._tally = PatchTally(package.reliability, _GRAPH)

    def result(self) -> PipelineResult:
        refusals = self._geometry_refusals()
        if refusals:
            return self._refused(refusals, values={})
        extent = self._measure()
        readout = Readout.of(extent, self._plan, self._series, prior=self._selection.prior)
        refusals = (*anatomy_refusals(extent, self._acceptance), *self._tally.refusals(self._acceptance))
        if refusals:
            return self._refused(refusals, values={**readout.values(), **self._tally.as_values()})
        return self._analysed(readout)

    def _geometry_refusals(self) -> tuple[Reason, ...]:
        """Judge the frames of an enhanced image, which the ledger does not know."""
        if not self._series.enhanced:
            return ()
        if self._series.stack is None:
            rule = "(0020,0032) 'Image Position (Patient)' is absent in at least one frame; it is required"
            return (reason("position_unknown", f"{self._series.name}: {rule}"),)
        return tuple(stack_reasons(self._series, self._acceptance))

    def _measure(self) -> LungExtent:
        return measure_slices(
            lambda: iterate(self._series, step_mm=self._plan.slice_step_mm),
            self._plan.recipe,
            classify=self._classify(),
            patterns=len(self._plan.patterns),
            reading=self._plan.reading,
            has_volumes=not in_slice_mode(self._series),
            see=see_lung(self._package, self._plan.dense_lung) if self._plan.dense_lung else None,
        )

    def _classify(self) -> Classify:
        package, tally = self._package, self._tally

        def read(patches: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
            return package.run(_GRAPH, {"patches": patches})

        def classify(patches: NDArray[np.float32]) -> NDArray[np.float32]:
            outputs = read(patches)
            tally.add(outputs)
            return outputs[PROBABILITY]

        return in_fields(read, tell=tally.add) if self._plan.whole_fields else in_batches(classify, self._plan.batch)

    def _analysed(self, readout: Readout) -> PipelineResult:
        plan, recipe, extent = self._plan, self._plan.recipe, readout.extent
        shown = reported(extent, plan.patterns)
        findings = make_findings(extent, plan.patterns, recipe=recipe) or (absent(extent, recipe=recipe),)
        triage = self._triage(extent)
        calibrated = calibrate(self._package, "study", triage.score)
        values = calibrated.as_values("abnormal_share") if calibrated else {}
        return PipelineResult(
            **self._common({**readout.values(), **self._tally.as_values(), **values}),
            outcome=Outcome.FINDINGS if shown else Outcome.NO_FINDINGS,
            headline=headline(extent, plan.patterns, shown),
            findings=findings,
            heatmaps=make_heatmaps(extent, plan.patterns, reported=shown, recipe=recipe),
            label_map=make_label_map(extent, plan.patterns, reported=shown, recipe=recipe),
            value_maps=(make_abnormality_map(extent, recipe),),
            flags=tuple(self._flags(readout)),
            triage=triage,
            summary=(*readout.lines(), *self._tally.lines(), *shown_lines(calibrated)),
            runs=self._runs(RunStatus.SUCCEEDED),
            evaluations=readout.evaluations,
            measurements=readout.measurements,
        )

    def _flags(self, readout: Readout) -> Iterator[Reason]:
        """Yield the flags of the headers, of the frames that only the file knows, of the pixels and of the change."""
        yield from self._selection.flags
        if self._series.enhanced:
            yield from spacing_flags(self._series, self._acceptance)
        margin = self._plan.reading.low_attenuation_margin
        yield from anatomy_flags(readout.extent, self._plan.patterns, self._acceptance, margin=margin)
        yield from self._tally.flags(self._acceptance)
        yield from readout.flags(self._package.identity)

    def _refused(self, reasons: tuple[Reason, ...], *, values: dict[str, Any]) -> PipelineResult:
        return PipelineResult(
            **self._common(values),
            outcome=Outcome.NOT_ANALYSED,
            headline=f"Diffuse lung: not analysed ({reasons[0].code.replace('_', ' ')})"[:_HEADLINE],
            refusals=reasons,
            flags=self._selection.flags,
            runs=self._runs(RunStatus.FAILED),
        )

    def _runs(self, status: RunStatus) -> tuple[AlgorithmRun, ...]:
        """Return how looking for each abnormal pattern ended on the series."""
        uids = sop_instance_uids(self._selection.instances)
        return tuple(
            AlgorithmRun(kind=RunKind.DETECTION, subject=pattern.code, status=status, sop_instance_uids=uids)
            for pattern in self._plan.patterns
            if pattern.name != NORMAL
        )

    def _common(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            "pipeline": NAME,
            "study_instance_uid": self._series.first.study_instance_uid,
            "package": self._package.identity,
            "input_sop_instance_uids": sop_instance_uids(self._selection.instances),
            "analysed_at": self._analysed_at,
            "values": values,
        }

    def _triage(self, extent: LungExtent) -> Triage:
        name = self._package.triage_operating_point
        threshold = self._package.operating_points[name]
        score = round(extent.abnormal_share, 4)
        return Triage(score=score, operating_point=name, threshold=threshold, above_operating_point=score >= threshold)
