# SPDX-License-Identifier: Apache-2.0
"""The result of a study that was not analysed: a result like any other, made without running anything."""

from service.domain.result import Outcome, PipelineResult, Reason
from service.ports import AnalysisRequest


def refusal_of(request: AnalysisRequest, reasons: tuple[Reason, ...]) -> PipelineResult:
    """Return the result that says, with these reasons, that what was asked for was not done."""
    title = request.pipeline.replace("_", " ").capitalize()
    return PipelineResult(
        pipeline=request.pipeline,
        study_instance_uid=request.study_instance_uid,
        outcome=Outcome.NOT_ANALYSED,
        headline=f"{title}: NOT ANALYSED",
        package=request.package,
        input_sop_instance_uids=tuple(sorted(instance.sop_instance_uid for instance in request.instances)),
        analysed_at=request.analysed_at,
        refusals=reasons,
        flags=request.flags,
    )
