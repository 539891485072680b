# SPDX-License-Identifier: Apache-2.0
"""Which heatmaps of a result become pictures: as many as the destination takes, the most important first."""

from dataclasses import replace

from service.domain.profile import EncodingProfile
from service.domain.result import Heatmap, Outcome, PipelineResult


def has_page(result: PipelineResult) -> bool:
    """Say whether a page of text comes first: nothing was analysed, or there is no heatmap to carry the words."""
    return result.outcome is Outcome.NOT_ANALYSED or not result.heatmaps


def captured(result: PipelineResult, profile: EncodingProfile) -> tuple[Heatmap, ...]:
    """Return the heatmaps that are encoded: in the order of the pipeline, whose key slice comes first.

    A page of text counts as one picture; without room for a heatmap beside it there is the page alone.
    """
    return result.heatmaps[: max(profile.max_secondary_captures - has_page(result), 0)]


def has_sheet_page(result: PipelineResult, profile: EncodingProfile) -> bool:
    """Say whether the reading sheet follows the heatmaps as a page: where there is one, and room for it."""
    if result.sheet is None or has_page(result):
        return False
    return len(captured(result, profile)) < profile.max_secondary_captures


def as_sent(result: PipelineResult, profile: EncodingProfile) -> PipelineResult:
    """Return the result with those heatmaps alone that a destination is sent, so that nothing refers to another."""
    return replace(result, heatmaps=captured(result, profile))
