# SPDX-License-Identifier: Apache-2.0
"""What a package declares of distances, sets and calibration, through the diffuse lung pipeline on a small chest."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from harness.variants import package_of, stored_instance
from models.phantoms.computed_tomography import ChestPhantom
from models.phantoms.computed_tomography.dicom import write_ct_series
from models.phantoms.dicom import PhantomStudy
from service.domain.errors import PackageError
from service.domain.reliability import (
    CalibrationMethod,
    ConformalSet,
    Limit,
    Reliability,
    ScoreCalibration,
    SetMethod,
)
from service.domain.result import Outcome, PackageStatus
from service.domain.study import Selection
from service.pipelines import PIPELINES
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.doubts import PatchTally
from service.pipelines.diffuse_lung.plan import Plan

PIPELINE = PIPELINES["diffuse_lung"]
LIMITS = tuple(
    Limit(graph="patterns", output=name, threshold=10.0, quantile=0.99, n=480)
    for name in ("distance_shallow", "distance_deep")
)
GATE = Reliability(out_of_distribution=LIMITS)
APS = ConformalSet(target="pattern", method=SetMethod.APS, level=0.9, quantile=0.9, n=480)


class Declaring:
    """The demonstration package, asked once for the same patches; every `step`-th of them lies far away."""

    def __init__(self, reliability, *, step=10**9, status=PackageStatus.DEMONSTRATION):
        self._package, self.reliability, self._step = package_of("hrct"), reliability, step
        self.identity = replace(self._package.identity, status=status)

    def __getattr__(self, name):
        return getattr(self._package, name)

    def run(self, graph, inputs):
        outputs = self._package.run(graph, inputs)
        if graph != "patterns":  # the finder of lung without air has no distances
            return outputs
        far = np.where(np.arange(len(outputs["probability"])) % self._step == 0, 50.0, 1.0).astype(np.float32)
        return {**outputs, "distance_shallow": np.ones_like(far), "distance_deep": far}


@pytest.fixture(scope="module")
def instances(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("chest")
    chest = ChestPhantom(seed=3, involvements=(), slices=10, pixel_mm=0.9)
    return [stored_instance(path) for path in write_ct_series(folder, chest, study=PhantomStudy(seed="doubts"))]


def analyse(instances, package):
    selection = PIPELINE.select(instances, package.acceptance)
    assert isinstance(selection, Selection), selection
    return PIPELINE.run(selection, package, analysed_at=datetime(2026, 4, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def plain(instances):
    return analyse(instances, Declaring(Reliability(), step=1))


def test_the_share_of_strange_patches_is_measured_and_printed(instances):
    result = analyse(instances, Declaring(GATE, step=4))
    assert result.outcome is not Outcome.NOT_ANALYSED
    assert result.values["out_of_distribution_share"] == pytest.approx(0.25, abs=0.02)
    assert "Lung patches outside the training distribution: 25 %" in result.summary


def test_a_series_of_strange_patches_is_not_analysed(instances):
    result = analyse(instances, Declaring(GATE, step=1))
    assert result.outcome is Outcome.NOT_ANALYSED
    (reason,) = result.refusals
    assert reason.code == "out_of_distribution"
    assert "100 % of" in reason.message
    assert "at most 50 % is accepted" in reason.message
    assert result.values["out_of_distribution_share"] == 1.0
    assert result.triage is None


def test_a_package_that_declares_nothing_is_read_without_a_word_of_doubt(instances, plain):
    """The shipped package declares limits and sets, which are numbers and lines more and nothing else."""
    shipped = analyse(instances, package_of("hrct"))
    more = {"out_of_distribution_share", "indeterminate_share"}
    assert set(shipped.values) - set(plain.values) == more
    assert {name: value for name, value in shipped.values.items() if name not in more} == plain.values
    assert [line for line in shipped.summary if line in plain.summary] == list(plain.summary)
    assert len(shipped.summary) == len(plain.summary) + 2
    assert (shipped.findings, shipped.flags, shipped.triage) == (plain.findings, plain.flags, plain.triage)


def test_the_extent_is_calibrated_and_a_demonstration_does_not_print_it(instances, plain):
    entry = ScoreCalibration(
        target="study",
        method=CalibrationMethod.PLATT,
        parameters={"slope": 1.0, "intercept": 1.0},
        n=1000,
        positives=500,
        prevalence=0.5,
    )
    declared = Reliability(calibration=(entry,))
    shown, kept = (
        analyse(instances, Declaring(declared, status=status))
        for status in (PackageStatus.RESEARCH, PackageStatus.DEMONSTRATION)
    )
    assert shown.values["abnormal_share_calibrated"] == kept.values["abnormal_share_calibrated"]
    assert shown.values["abnormal_share_calibrated"] == pytest.approx(entry.apply(plain.triage.score), abs=1e-6)
    assert shown.summary[-1].startswith("Calibrated: ")
    assert kept.summary == plain.summary
    assert shown.triage == kept.triage == plain.triage


def batch(*rows, **limits):
    return {
        "probability": np.array(rows, np.float32),
        **{name: np.array(values, np.float32) for name, values in limits.items()},
    }


def test_the_acceptance_profile_says_how_much_is_too_much():
    tally = PatchTally(GATE, "patterns")
    row = [0.9, 0.1]
    tally.add(batch(row, row, row, row, distance_shallow=[1, 11, 1, 10], distance_deep=[1, 1, 1, 1]))
    assert tally.strange_share == 0.25
    assert list(tally.refusals(Acceptance(largest_out_of_distribution_share=0.25))) == []
    (reason,) = tally.refusals(Acceptance(largest_out_of_distribution_share=0.2))
    assert reason.code == "out_of_distribution"
    assert "25 % of 4 lung patches" in reason.message


def test_patches_without_one_pattern_are_counted_over_all_batches():
    tally = PatchTally(Reliability(conformal=(APS,)), "patterns")
    tally.add(batch([0.95, 0.03, 0.02], [0.6, 0.38, 0.02]))
    tally.add(batch([0.02, 0.97, 0.01], [0.02, 0.97, 0.01]))
    assert tally.unsettled_share == 0.25
    assert tally.strange_share is None
    assert tally.lines() == ("Lung patches without a settled pattern: 25 %",)
    assert list(tally.flags(Acceptance())) == []
    (flag,) = tally.flags(Acceptance(largest_indeterminate_share=0.2))
    assert flag.code == "indeterminate"
    assert "25 % of 4 lung patches" in flag.message


def test_members_that_disagree_leave_a_patch_without_a_settled_pattern():
    limit = Limit(graph="patterns", output="divergence", threshold=0.2, quantile=0.99, n=480)
    tally = PatchTally(Reliability(conformal=(APS,), disagreement=(limit,)), "patterns")
    tally.add(batch([0.95, 0.03, 0.02], [0.95, 0.03, 0.02], [0.5, 0.3, 0.2], divergence=[0.1, 0.3, 0.3]))
    assert tally.unsettled_share == pytest.approx(2 / 3, abs=1e-4)


def test_the_votes_confidence_is_averaged_over_all_patches():
    tally = PatchTally(Reliability(), "patterns")
    tally.add(batch([0.9, 0.1], [0.6, 0.4], margin=[0.8, 0.2], divergence=[0.0, 0.3]))
    tally.add(batch([0.7, 0.3], margin=[0.5], divergence=[0.06]))
    assert tally.as_values() == {"mean_margin": 0.5, "mean_divergence": 0.12}
    assert tally.lines() == (
        "Confidence: mean margin 0.50 between the two likeliest patterns",
        "Disagreement of the models: mean divergence 0.12 nats",
    )


def test_whole_fields_is_true_or_false():
    parameters = package_of("hrct").parameters
    assert Plan.of({**parameters, "whole_fields": True}).whole_fields
    assert not Plan.of({name: value for name, value in parameters.items() if name != "whole_fields"}).whole_fields
    with pytest.raises(PackageError, match=r"parameters\.whole_fields: value 'yes' is neither true nor false"):
        Plan.of({**parameters, "whole_fields": "yes"})


def test_a_tally_without_patches_says_nothing_bad():
    tally = PatchTally(GATE, "patterns")
    assert tally.strange_share == 0.0
    assert list(tally.refusals(Acceptance())) == []
