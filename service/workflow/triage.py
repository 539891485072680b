# SPDX-License-Identifier: Apache-2.0
"""Decides a study's reading priority: raised on good grounds only, and never lowered."""

from service.domain.drift import PERFORMANCE_NOT_ASSURED
from service.domain.result import Outcome, PackageIdentity, PackageStatus, Priority
from service.ports.analyst import AnalysisSummary
from service.settings import Profile, Settings

DOUBTS = ("out_of_distribution", "indeterminate")
"""Prefixes of the flags that a pipeline doubts its score: the image is unlike others, or the answer is not settled."""


def raised_priority(
    rule_priority: Priority, summary: AnalysisSummary, package: PackageIdentity | None, *, settings: Settings
) -> Priority:
    """Return the priority after analysis: urgent when it was so already, or when a trusted score says so."""
    if rule_priority is Priority.URGENT:
        return Priority.URGENT
    if not may_raise(package, settings=settings) or _is_suspended(summary, settings):
        return Priority.ROUTINE
    return Priority.URGENT if _speaks_for_urgency(summary) else Priority.ROUTINE


def _is_suspended(summary: AnalysisSummary, settings: Settings) -> bool:
    """Say whether the site wants no priority raised while the package's performance is not assured."""
    doubted = any(flag.code == PERFORMANCE_NOT_ASSURED for flag in summary.flags)
    return doubted and settings.drift.suspend_priority


def may_raise(package: PackageIdentity | None, *, settings: Settings) -> bool:
    """Say whether the site lets the package's score raise a priority; a demonstration's never outside the demo."""
    if package is None:
        return False
    if package.status is PackageStatus.DEMONSTRATION:
        return settings.site.profile is Profile.DEMO
    return package.status.value in settings.triage.allowed_statuses


def _speaks_for_urgency(summary: AnalysisSummary) -> bool:
    # A partly analysed study counts: what was refused takes nothing away from a score that was reached.
    usable = summary.outcome is not Outcome.NOT_ANALYSED
    sure = not any(flag.code.startswith(DOUBTS) for flag in summary.flags)
    return usable and sure and summary.triage is not None and summary.triage.above_operating_point
