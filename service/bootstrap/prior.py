# SPDX-License-Identifier: Apache-2.0
"""Gives a pipeline the numbers of the prior study, or says that they cannot be had."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from service.domain.errors import StorageError
from service.domain.prior import Prior
from service.domain.record import load_prior
from service.domain.result import Outcome, Reason
from service.domain.study import Selection
from service.ports import AnalysisRequest, PriorAnalysis

UNREADABLE: Final = Reason(
    code="prior_unreadable",
    message="the patient has an older analysed study, but its result cannot be read; no change is given; analyse the "
    "older study again",
)


def selection_of(request: AnalysisRequest) -> Selection:
    """Return what the pipeline is to analyse; a prior that cannot be read becomes a flag."""
    selection = Selection(instances=request.instances, flags=request.flags)
    if request.prior is None:
        return selection
    if request.prior.kept is not None:
        return replace(selection, prior=_kept(request.prior, request.prior.kept))
    try:
        prior = load_prior(
            request.prior.folder,
            study_instance_uid=request.prior.study_instance_uid,
            study_date=request.prior.study_date,
            package=request.prior.package,
        )
    except StorageError:
        return replace(selection, flags=(*selection.flags, UNREADABLE))
    return replace(selection, prior=prior)


def _kept(prior: PriorAnalysis, kept: Mapping[str, Any]) -> Prior:
    """Return the prior as the ledger keeps it, after the files of its result were deleted."""
    return Prior(
        study_instance_uid=prior.study_instance_uid,
        study_date=prior.study_date,
        package=prior.package,
        outcome=Outcome(kept["outcome"]),
        values=dict(kept["values"]),
    )
