# SPDX-License-Identifier: Apache-2.0
"""Chooses the one series of a study that is analysed, or says why none can be."""

from collections.abc import Sequence

from service.domain.instance import Instance
from service.domain.result import Reason
from service.domain.study import Completeness, Refusal, Selection
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.gates import Verdict, judge, reason
from service.pipelines.diffuse_lung.series import (
    ENHANCED_CT,
    group_series,
    image_type,
    is_ct,
    is_gap_free,
    is_original_axial,
)


def completeness(instances: Sequence[Instance]) -> Completeness:
    """Say whether the axial series so far could be whole.

    A stack of slices is never certainly whole, for more can always follow below: SETTLING at best. One enhanced
    image holds all its frames: COMPLETE.
    """
    images = [instance for instance in instances if is_ct(instance)]
    if not images:
        return Completeness.NOT_WANTED
    least = Acceptance().minimum_slices
    found = group_series([image for image in images if is_original_axial(image)])
    large = [series for series in found if series.slices >= least]
    if not large or not all(is_gap_free(series, minimum_slices=least) for series in large):
        return Completeness.INCOMPLETE
    whole = all(series.first.sop_class_uid == ENHANCED_CT for series in found)
    return Completeness.COMPLETE if whole else Completeness.SETTLING


def select(instances: Sequence[Instance], acceptance: Acceptance) -> Selection | Refusal:
    """Return the slices of the best series from the head to the feet, or every reason against the nearest one.

    Best is the accepted series with the fewest flags; of equals the thinnest, then that with the most slices, then
    the lowest Series Number, then the lowest UID.
    """
    images = [instance for instance in instances if is_ct(instance)]
    axial = [image for image in images if is_original_axial(image)]
    if not axial:
        return Refusal(reasons=(_nothing_axial(instances, images),), instances=tuple(instances))
    verdicts = [judge(series, acceptance) for series in group_series(axial)]
    accepted = [verdict for verdict in verdicts if not verdict.refusals]
    if not accepted:
        nearest = min(verdicts, key=lambda verdict: (len(verdict.refusals), -verdict.series.slices))
        return Refusal(reasons=nearest.refusals, instances=nearest.series.instances)
    best = min(accepted, key=_rank)
    return Selection(instances=best.series.instances, flags=best.flags)


def _rank(verdict: Verdict) -> tuple[int, float, int, float, str]:
    series = verdict.series
    number = series.first.number("SeriesNumber")
    thickness = series.pair("SliceThickness")[0]
    return len(verdict.flags), thickness, -series.slices, number or 0.0, series.first.series_instance_uid


def _nothing_axial(instances: Sequence[Instance], images: Sequence[Instance]) -> Reason:
    if not images:
        classes = ", ".join(sorted({instance.sop_class_uid for instance in instances}))
        return reason(
            "no_ct_image",
            f"(0008,0016) 'SOP Class UID' is {classes or 'absent'}; CT and Enhanced CT images are analysed",
        )
    types = sorted({"\\".join(image_type(image)) or "absent" for image in images})
    return reason(
        "no_original_axial_image",
        f"(0008,0008) 'Image Type' is {'; '.join(types)}; original axial slices (ORIGINAL\\PRIMARY\\AXIAL) are "
        "analysed, no localizers and no reformatted or derived images",
    )
