# SPDX-License-Identifier: Apache-2.0
"""What is said of the queue and of the operating point's worth."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from service.domain.result import PackageIdentity, PackageStatus, Triage
from service.domain.screening import Performance
from service.pipelines.pneumoconiosis.routing import DEFAULT_PREVALENCE, predictive_line, prevalence_of, routing_lines

KNOWN = Performance(sensitivity=0.95, specificity=0.90, measured_on="400 films of the site")
TRIAGE = Triage(score=0.61, operating_point="review_first", threshold=0.55, above_operating_point=True)


@dataclass(frozen=True, kw_only=True)
class Said:
    """A package as far as routing asks it."""

    status: PackageStatus = PackageStatus.SITE_VALIDATED
    performance: dict[str, Performance] = field(default_factory=lambda: {"review_first": KNOWN})
    prevalence: float | None = None

    @property
    def identity(self) -> PackageIdentity:
        return PackageIdentity(name="p", version="1.0.0", sha256="0" * 64, status=self.status)


def lines(triage: Triage = TRIAGE, **said: Any) -> tuple[str, ...]:
    return routing_lines(triage, Said(**said))  # type: ignore[arg-type]


def test_a_film_above_the_point_goes_to_the_expert_readers_and_is_not_urgent():
    assert lines()[0] == "Routing, not urgency: expert readers' queue (score 0.61, review first at 0.55)"
    below = replace(TRIAGE, score=0.3, above_operating_point=False)
    assert lines(below)[0] == "Routing, not urgency: ordinary queue (score 0.30, review first at 0.55)"


def test_a_demonstration_routes_nothing_and_says_so():
    assert lines(status=PackageStatus.DEMONSTRATION)[0].startswith("Demonstration, routes nothing; it would say: ")


def test_predictive_values_are_those_of_the_sites_prevalence():
    assert lines()[1] == (
        "At 2 % prevalence PPV 16 %, NPV 99.9 % (sensitivity 0.95, specificity 0.90, measured on 400 films of the site)"
    )
    assert lines(prevalence=0.15)[1].startswith("At 15 % prevalence PPV 63 %, NPV 99.0 % (")
    assert lines(prevalence=0.005)[1].startswith("At 0.5 % prevalence PPV 4.6 %, NPV 99.9 % (")


def test_an_unmeasured_point_has_no_predictive_values():
    assert "unknown" in lines(performance={})[1]
    assert "unknown" in lines(performance={"screening": KNOWN})[1]


@pytest.mark.parametrize(("said", "used"), [(None, DEFAULT_PREVALENCE), (0.3, 0.3)])
def test_without_a_word_of_the_site_two_percent_are_taken(said, used):
    assert prevalence_of(Said(prevalence=said)) == used  # type: ignore[arg-type]
    assert DEFAULT_PREVALENCE == 0.02


def test_certainty_is_said_of_a_perfect_test_alone():
    perfect = Performance(sensitivity=1.0, specificity=1.0, measured_on="ten phantoms")
    assert "PPV 100 %, NPV 100 % (" in predictive_line(perfect, prevalence=0.02)
    nearly = Performance(sensitivity=0.9999, specificity=0.9999999, measured_on="many")
    assert "PPV 99.9 %, NPV 99.9 % (" in predictive_line(nearly, prevalence=0.02)
    nobody = Performance(sensitivity=0.0, specificity=1.0, measured_on="nobody")
    assert "PPV unknown, NPV 98 % (" in predictive_line(nobody, prevalence=0.02)


def test_the_package_says_what_its_points_did(package):
    assert set(package.performance) == set(package.operating_points)
    assert package.performance["review_first"].measured_on.endswith("not patients")
    assert package.prevalence is None
