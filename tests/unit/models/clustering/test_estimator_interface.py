# SPDX-License-Identifier: Apache-2.0
"""scikit-learn's own checks of an estimator: the whole list, nothing expected to fail."""

import warnings
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="needs the optional extra `train`")

from sklearn.utils.estimator_checks import check_estimator

from models.clustering.quasi_linear import QuasiLinearClustering


@pytest.mark.parametrize(
    "parameters", [{"n_init": 2}, {"n_init": 1, "covariance_type": "full", "mixing": "estimated", "beta": 0.3}]
)
def test_keeps_the_interface_of_scikit_learn(parameters: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own: a skipped check, and runs of a few steps
        checks = check_estimator(QuasiLinearClustering(3, **parameters), on_fail="raise")
    assert sum(check["status"] == "passed" for check in checks) >= 45
