# SPDX-License-Identifier: Apache-2.0
"""The recipe runs from phantoms to a package that the node loads; with the smallest effort."""

import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import numpy as np

from models.recipes.mammography import Effort, make_package
from models.recipes.mammography_data import crops, draw_samples
from models.recipes.mammography_evaluation import Evaluation
from service.inference.package import load_package


@pytest.mark.timeout(600)
def test_the_recipe_makes_a_package_that_loads(tmp_path):
    folder = make_package(tmp_path, Effort(exams=4, steps=2, epochs=1, held_out=4))
    package = load_package(folder)
    assert package.identity.name == "mammography-demo"
    assert set(package.operating_points) == {"display", "triage"}
    assert package.manifest.training.metrics[0].condition == "scanner-shift"


def test_targets_peak_where_the_masses_are():
    sample = next(sample for sample in draw_samples(7, 3) if sample.masses)
    batch = crops([sample] * 8, np.random.default_rng(1), size=256)
    assert batch.image.shape == (8, 2, 256, 256)
    assert batch.weight.sum() > 0
    assert (batch.heat[batch.weight > 0] == 1).all()
    assert (batch.offset >= 0).all()
    assert (batch.offset <= 1).all()


def test_sensitivity_counts_false_marks_per_view():
    result = Evaluation(
        hits=np.array([0.9, 0.6, 0.0]),
        false_marks=np.array([0.7, 0.5, 0.2]),
        views=4,
        image_scores=np.array([0.9, 0.2, 0.6, 0.1]),
        image_labels=np.array([True, False, True, False]),
        breasts=("a", "b", "a", "b"),
        cam_peaks=np.zeros(4),
    )
    assert result.sensitivity(false_marks_per_image=0) == pytest.approx(1 / 3)
    assert result.sensitivity(false_marks_per_image=0.25) == pytest.approx(2 / 3)
    assert result.sensitivity(false_marks_per_image=1) == 1.0
    assert result.image_auc() == 1.0
    assert result.breast_auc() == 1.0
