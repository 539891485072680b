# SPDX-License-Identifier: Apache-2.0
"""What a test's result is worth where a disease is as rare as it is: predictive values by Bayes' rule."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """What an operating point did on the data that it was measured on; sensitivity and specificity in [0, 1]."""

    sensitivity: float
    specificity: float
    measured_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictiveValues:
    """Of those at or above the point the share with disease (PPV), of those below the share without (NPV).

    None where nobody would lie on that side of the point.
    """

    positive: float | None
    negative: float | None


def predictive_values(performance: Performance, *, prevalence: float) -> PredictiveValues:
    """Return PPV and NPV at a prevalence.

    They carry over from one population to another only as far as sensitivity and specificity do.

    Raises
    ------
    ValueError
        The prevalence, the sensitivity or the specificity is no share.
    """
    shares = {"prevalence": prevalence, "sensitivity": performance.sensitivity, "specificity": performance.specificity}
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value:g}; a share lies between 0 and 1")
    true_positive = performance.sensitivity * prevalence
    false_positive = (1 - performance.specificity) * (1 - prevalence)
    true_negative, false_negative = (1 - prevalence) - false_positive, prevalence - true_positive
    return PredictiveValues(
        positive=_share(true_positive, true_positive + false_positive),
        negative=_share(true_negative, true_negative + false_negative),
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
