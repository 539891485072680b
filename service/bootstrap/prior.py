# SPDX-License-Identifier: Apache-2.0
"""Gives a pipeline the numbers of the prior study, or says that they cannot be had."""

from dataclasses import replace
from typing import Final

from service.domain.errors import StorageError
from service.domain.record import load_prior
from service.domain.result import Reason
from service.domain.study import Selection
from service.ports import AnalysisRequest

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
