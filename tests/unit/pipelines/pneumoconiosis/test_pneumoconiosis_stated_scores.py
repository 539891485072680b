# SPDX-License-Identifier: Apache-2.0
"""Whose score may be stated as a probability: that of the film and of a zone, never that of a detector."""

from service.codes import sct
from service.domain.reliability import CalibrationMethod, Reliability, ScoreCalibration
from service.domain.result import Finding, PackageIdentity, PackageStatus, Presence, Region
from service.pipelines.pneumoconiosis.doubts import as_stated

HALVED = {"slope": 0.5, "intercept": 0.0}


class Declaring:
    """A validated package that declares what the scores of film and zone mean."""

    identity = PackageIdentity(name="p", version="1.0.0", sha256="0" * 64, status=PackageStatus.SITE_VALIDATED)
    reliability = Reliability(
        calibration=tuple(
            ScoreCalibration(
                target=target, method=CalibrationMethod.PLATT, parameters=HALVED, n=100, positives=50, prevalence=0.5
            )
            for target in ("film", "zone")
        )
    )


def stated(key: str) -> Finding:
    region = Region.box("1.2", x0=0, y0=0, x1=9, y1=9)
    found = Finding(key=key, label="", finding=sct("4147007"), presence=Presence.PRESENT, region=region, score=0.9)
    return as_stated(found, Declaring())  # type: ignore[arg-type]


def test_a_detectors_score_stays_what_it_is():
    for key in ("film", "zone-RU"):
        assert stated(key).calibrated
        assert stated(key).score != 0.9
    assert stated("large-1").score == 0.9
    assert not stated("large-1").calibrated
