# SPDX-License-Identifier: Apache-2.0
"""The comparison judges what it says it judges, and its table says what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

from scipy import stats
from sklearn.metrics import adjusted_rand_score

from models.clustering.__main__ import main
from models.clustering.comparison import METHODS, Measured, as_table, measure
from models.clustering.datasets import DATASETS, OUTLIER


@pytest.mark.parametrize("name", DATASETS)
def test_sets_are_drawn_from_their_seed(name: str) -> None:
    first, second, other = (DATASETS[name](np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.points, second.points)
    assert not np.array_equal(first.points, other.points)
    assert len(first.points) == len(first.truth)
    assert np.isfinite(first.points).all()
    expected = {"breast cancer": 2, "digits": 10}.get(name, 3)
    assert first.groups == expected
    outliers = (first.truth == OUTLIER).mean()
    assert outliers == pytest.approx(0.1 if "outliers" in name else 0, abs=1e-9)


def test_outliers_lie_in_a_box_three_times_as_wide() -> None:
    sample = DATASETS["blobs + outliers"](np.random.default_rng(0))
    inside, outside = (sample.points[sample.truth != OUTLIER], sample.points[sample.truth == OUTLIER])
    assert 2 < np.ptp(outside, axis=0).max() / np.ptp(inside, axis=0).max() < 3.2


def test_mean_and_interval_are_those_of_the_seeds() -> None:
    found = measure("spreads + outliers", "k-means", seeds=range(4))
    scores = []
    for seed in range(4):
        sample = DATASETS["spreads + outliers"](np.random.default_rng(seed))
        judged = sample.truth != OUTLIER
        labels = METHODS["k-means"](sample.points, 3, seed)
        scores.append(adjusted_rand_score(sample.truth[judged], labels[judged]))
    low, high = stats.t.interval(0.95, 3, loc=np.mean(scores), scale=stats.sem(scores))
    assert found.rand == pytest.approx((np.mean(scores), (high - low) / 2))
    with pytest.raises(ValueError, match="1 seeds: an interval needs at least 2"):
        measure("blobs", "k-means", seeds=[0])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_clear_groups(method: str) -> None:
    assert measure("blobs", method, seeds=range(2)).rand[0] > 0.95


def test_the_best_of_each_row_is_bold() -> None:
    cells = [
        Measured(dataset="iris", method="a", rand=(0.5, 0.1), information=(0.3, 0.1)),
        Measured(dataset="iris", method="b", rand=(0.496, 0.02), information=(0.9, 0.1)),
        Measured(dataset="iris", method="c", rand=(0.2, 0.02), information=(0.1, 0.1)),
    ]
    table = as_table(cells, index="rand").splitlines()
    assert table[0] == "| set | a | b | c |"
    assert table[2] == "| iris | **0.50 ± 0.10** | **0.50 ± 0.02** | 0.20 ± 0.02 |"


def test_the_command_prints_tables_and_writes_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    assert main(["compare", "--sets", "iris", "--methods", "k-means", "Ward", "--seeds", "2", "--out", str(out)]) == 0
    assert "| iris | " in capsys.readouterr().out
    assert [each["method"] for each in json.loads(out.read_text())] == ["k-means", "Ward"]
