# SPDX-License-Identifier: Apache-2.0
"""Gates G3 and G4 on numbers alone: who is refused, who is flagged, and what a demonstration may not state."""

from dataclasses import dataclass

import numpy as np
import pytest

from service.domain.reliability import UNDECLARED, CalibrationMethod, Limit, Reliability, ScoreCalibration
from service.domain.result import PackageIdentity, PackageStatus
from service.pipelines.certainty import calibrate, disagreement_flags, shown_lines, stated_score
from service.pipelines.familiarity import as_values, measure, refusals, unusual_items

LIMITS = tuple(
    Limit(graph=graph, output=f"distance_{depth}", threshold=threshold, quantile=0.99, n=480)
    for graph, depth, threshold in (("zones", "shallow", 10.0), ("zones", "deep", 20.0), ("lungseg", "deep", 5.0))
)


def outputs(shallow, deep):
    return {"distance_shallow": np.array(shallow, np.float32), "distance_deep": np.array(deep, np.float32)}


def test_an_image_is_judged_by_the_mean_over_its_parts_and_by_the_limits_of_its_graph():
    found = measure(LIMITS, "zones", outputs([9, 10, 11], [1, 2, 60]))
    assert as_values(found) == {"zones_distance_shallow": 10.0, "zones_distance_deep": 21.0}
    assert [each.is_unusual for each in found] == [False, True], "at the threshold it is usual"


def test_every_distance_above_its_limit_is_in_the_one_reason():
    (reason,) = refusals(measure(LIMITS, "zones", outputs([30.0], [40.0])), name="the film")
    assert reason.code == "out_of_distribution"
    for words in (
        "the film is outside the training distribution",
        "zones distance_shallow 30 is above 10",
        "zones distance_deep 40 is above 20",
        "99 % of 480 usual cases",
    ):
        assert words in reason.message


def test_usual_images_and_silent_packages_are_not_refused():
    assert refusals(measure(LIMITS, "zones", outputs([9.0], [19.0]))) == ()
    assert measure((), "zones", {}) == ()
    assert refusals(()) == ()


def test_items_are_judged_one_by_one():
    found = unusual_items(LIMITS, "zones", outputs([9, 11, 9], [1, 1, 21]), count=3)
    assert found.tolist() == [False, True, True]
    assert unusual_items((), "zones", {}, count=2).tolist() == [False, False]


def test_models_that_disagree_are_a_flag():
    limit = Limit(graph="zones", output="divergence", threshold=0.2, quantile=0.99, n=480)
    (flag,) = disagreement_flags(measure([limit], "zones", {"divergence": np.array([0.1, 0.5])}), name="the film")
    assert flag.code == "indeterminate"
    assert "divergence 0.3 of the models is above 0.2" in flag.message
    assert disagreement_flags(measure([limit], "zones", {"divergence": np.array([0.2])})) == ()


@dataclass
class Declaring:
    reliability: Reliability
    identity: PackageIdentity


def package(status, *, site_prevalence=None):
    calibration = ScoreCalibration(
        target="film",
        method=CalibrationMethod.PLATT,
        parameters={"slope": 1.0, "intercept": -1.0},
        n=1000,
        positives=500,
        prevalence=0.5,
        site_prevalence=site_prevalence,
    )
    identity = PackageIdentity(name="p", version="1.0.0", sha256="0" * 64, status=status)
    return Declaring(Reliability(calibration=(calibration,)), identity)


EXPECTED = 1 / (1 + np.exp(1.0))


def test_both_numbers_are_kept_and_the_sites_is_stated():
    site = package(PackageStatus.SITE_VALIDATED, site_prevalence=0.1)
    found = calibrate(site, "film", 0.5)
    at_site = (EXPECTED / (1 - EXPECTED) / 9) / (1 + EXPECTED / (1 - EXPECTED) / 9)
    assert found.as_values("overall") == pytest.approx(
        {"overall_calibrated": EXPECTED, "overall_calibrated_at_site": at_site}, abs=1e-6
    )
    assert stated_score(site, "film", 0.5) == (pytest.approx(at_site), True)
    assert shown_lines(found) == ("Calibrated: 0.27 at a prevalence of 50 %, 0.04 at the site's 10 %",)


def test_without_a_site_prevalence_there_is_one_number():
    found = calibrate(package(PackageStatus.RESEARCH), "film", 0.5)
    assert found.as_values("overall") == {"overall_calibrated": pytest.approx(EXPECTED, abs=1e-6)}
    assert shown_lines(found) == ("Calibrated: 0.27 at a prevalence of 50 %",)
    assert stated_score(package(PackageStatus.RESEARCH), "film", 0.5) == (pytest.approx(EXPECTED), True)


def test_a_demonstration_keeps_its_probability_to_itself():
    demonstration = package(PackageStatus.DEMONSTRATION, site_prevalence=0.1)
    found = calibrate(demonstration, "film", 0.5)
    assert shown_lines(found) == ()
    assert stated_score(demonstration, "film", 0.5) == (0.5, False)
    assert found.as_values("overall")["overall_calibrated"] == pytest.approx(EXPECTED, abs=1e-6), "the record has it"


def test_a_score_without_calibration_stays_what_it_is():
    assert calibrate(package(PackageStatus.RESEARCH), "zone", 0.5) is None
    assert stated_score(package(PackageStatus.RESEARCH), "zone", 0.5) == (0.5, False)
    silent = Declaring(UNDECLARED, package(PackageStatus.RESEARCH).identity)
    assert calibrate(silent, "film", 0.5) is None
