# SPDX-License-Identifier: Apache-2.0
"""Errors of extent: counted by hand on small maps, read through a package that errs on purpose, and as a command."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

from harness.shipped import shipped
from models.experiments.lung_extents.__main__ import main
from models.experiments.lung_extents.agreement import Agreement
from models.experiments.lung_extents.measuring import compare, draw_chests, drawn_percents
from models.phantoms.computed_tomography import NOT_LUNG, PATTERNS, ChestPhantom, usual_scanner
from models.recipes.diffuse_lung_data import PAINTED
from service.inference.manifest import load_manifest


def test_limits_hold_95_percent_of_a_normal_error():
    read, drawn = np.array([[12.0, 9.0], [20.0, 33.0]]), np.array([[10.0, 10.0], [20.0, 30.0]])
    found = Agreement.of(read, drawn)
    assert (found.pairs, found.bias, found.mean_error) == (4, 1.0, 1.5)
    assert found.high - found.bias == pytest.approx(1.959964 * np.std([2, -1, 0, 3], ddof=1))
    assert found.bias - found.low == pytest.approx(found.high - found.bias)
    alone = Agreement.of(np.array([3.0]), np.array([1.0]))
    assert (alone.bias, np.isnan(alone.low)) == (2.0, True)
    assert Agreement.of(np.array([]), np.array([])).pairs == 0


def test_what_was_drawn_is_counted_by_side_and_zone():
    upper = np.full((2, 4), NOT_LUNG, dtype=np.uint8)
    upper[0] = [0, 6, 0, 0]
    lower = np.full((2, 4), 6, dtype=np.uint8)
    found = drawn_percents([upper, lower], (0, 2))
    honeycombing = dict(zip(("RU", "RM", "RL", "LU", "LM", "LL"), found[:, 6], strict=True))
    assert honeycombing == {"RU": 50, "RM": 0, "RL": 100, "LU": 0, "LM": 0, "LL": 100}
    assert found[0, 0] == 50


def test_every_pattern_that_can_be_painted_is_drawn_and_some_chests_are_healthy():
    chests = list(draw_chests(12, seed=1, slices=4, scanner=usual_scanner))
    assert {each.pattern for chest in chests for each in chest.involvements} == set(PAINTED)
    assert [not chest.involvements for chest in chests].count(True) == 1


class Erring:
    """The shipped package's parameters; no finder of lung, and a classifier that calls 6 % of patches honeycombing."""

    @property
    def parameters(self) -> dict[str, Any]:
        return {**load_manifest(shipped("diffuse-lung-demo")).parameters, "whole_fields": False, "dense_lung": None}

    def run(self, _: str, inputs: Any) -> dict[str, np.ndarray]:
        patches = inputs["patches"]
        errs = np.random.default_rng(int(1000 * patches.sum())).random(len(patches)) < 0.06
        probability = np.zeros((len(patches), len(PATTERNS)), dtype=np.float32)
        probability[:, 0] = 0.9
        probability[errs, 6] = 1.0
        return {"probability": probability}


def test_the_filter_takes_out_what_stands_alone():
    healthy = ChestPhantom(seed=5, slices=40)
    found = compare([healthy.slice(index) for index in (18, 19, 20)], {"erring": Erring()})["erring"]
    assert not found.drawn[:, 6].any()
    bare, smoothed = found.bare[:, 6], found.smoothed[:, 6]
    assert bare.mean() > 3
    assert smoothed.mean() < bare.mean() / 3


def test_the_command_writes_page_and_figure(tmp_path, capsys):
    package = str(shipped("diffuse-lung-demo"))
    assert main([package, "--out", str(tmp_path), "--chests", "1", "--slices", "8"]) == 0
    page = (tmp_path / "extents.md").read_text()
    assert page == capsys.readouterr().out
    assert page.index("### Unseen scanners") < page.index("### Scanners as in training")
    assert page.count("| **abnormal** |") == 2
    assert (tmp_path / "extents.png").read_bytes().startswith(b"\x89PNG")


def test_a_package_of_other_images_is_refused(tmp_path, capsys):
    assert main([str(shipped("mammography-demo")), "--out", str(tmp_path)]) == 2
    assert "mammography-demo" in capsys.readouterr().err
