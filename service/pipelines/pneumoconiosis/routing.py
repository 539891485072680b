# SPDX-License-Identifier: Apache-2.0
"""Says where a film is to go, and what the operating point is worth at the site's prevalence.

Pneumoconiosis is not acute: a film at or above the point goes to the expert readers' queue, nothing becomes urgent.
"""

from typing import Final

from service.domain.result import PackageStatus, Triage
from service.domain.screening import Performance, predictive_values
from service.ports import Package

DEFAULT_PREVALENCE: Final = 0.02
"""Of those who are examined in Japan about 2 % have pneumoconiosis; a site says its own in config.yaml."""


def routing_lines(triage: Triage, package: Package) -> tuple[str, ...]:
    """Return the queue that the score leads to, and the predictive values of the operating point."""
    expert = "expert readers' queue" if triage.above_operating_point else "ordinary queue"
    name = triage.operating_point.replace("_", " ")
    where = f"Routing, not urgency: {expert} (score {triage.score:.2f}, {name} at {triage.threshold:.2f})"
    if package.identity.status is PackageStatus.DEMONSTRATION:
        where = f"Demonstration, routes nothing; it would say: {where}"
    return where, predictive_line(package.performance.get(triage.operating_point), prevalence=prevalence_of(package))


def prevalence_of(package: Package) -> float:
    """Return the site's prevalence, or the default."""
    return DEFAULT_PREVALENCE if package.prevalence is None else package.prevalence


def predictive_line(performance: Performance | None, *, prevalence: float) -> str:
    """Return PPV and NPV at a prevalence, with the figures that they come from and what these were measured on."""
    at = f"At {100 * prevalence:.3g} % prevalence"
    if performance is None:
        return f"{at} PPV and NPV are unknown: the package gives no sensitivity and specificity"
    found = predictive_values(performance, prevalence=prevalence)
    figures = f"sensitivity {performance.sensitivity:.2f}, specificity {performance.specificity:.2f}"
    return (
        f"{at} PPV {_percent(found.positive)}, NPV {_percent(found.negative)} "
        f"({figures}, measured on {performance.measured_on})"
    )


def _percent(share: float | None) -> str:
    """Return a share in percent; near 100 with a digit more, so that nothing is rounded to certainty."""
    if share is None:
        return "unknown"
    digits = 1 if 0.0 < share < 0.1 or 0.99 <= share < 1 else 0
    return f"{min(100 * share, 99.9) if share < 1 else 100:.{digits}f} %"
