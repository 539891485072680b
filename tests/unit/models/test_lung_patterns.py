# SPDX-License-Identifier: Apache-2.0
"""The confusion report: its counts, intervals and tests against hand-made answers, and a small real comparison."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from models.experiments.lung_patterns.__main__ import main
from models.experiments.lung_patterns.confusion import Share, matrix, mcnemar, recalls
from models.experiments.lung_patterns.members import main as members
from models.experiments.lung_patterns.page import condition_page
from models.recipes import diffuse_lung_recipe
from service.inference.package import default_packages_folder

TRUTH = np.array([0, 0, 0, 1, 1, 2])
OLD = np.array([0, 1, 1, 1, 1, 0])
NEW = np.array([0, 0, 2, 1, 0, 2])


def test_rows_are_what_was_drawn():
    assert matrix(TRUTH, NEW, patterns=3).tolist() == [[2, 0, 1], [1, 1, 0], [0, 0, 1]]


def test_recall_has_wilsons_interval():
    share = Share.of(np.array([True] * 8 + [False] * 2))
    assert (share.value, share.cases) == (0.8, 10)
    assert (share.low, share.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    nothing = Share.of(np.array([], dtype=bool))
    assert np.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0.0, 1.0)


def test_mcnemar_counts_those_who_differ_alone():
    old = np.array([True] * 5 + [False] * 9 + [True] * 100)
    new = np.array([False] * 5 + [True] * 9 + [True] * 100)
    assert mcnemar(old, new) == pytest.approx(2 * binom.cdf(5, 14, 0.5))
    assert mcnemar(old, old) == 1.0


def test_recalls_are_of_the_same_patches():
    found = recalls(TRUTH, OLD, NEW, patterns=("a", "b", "c"))
    assert [recall.old.value for recall in found] == pytest.approx([1 / 3, 1.0, 0.0])
    assert [recall.new.value for recall in found] == pytest.approx([2 / 3, 0.5, 1.0])
    assert all(recall.p == 1.0 for recall in found)


def test_the_page_shows_recall_and_confusion():
    found = recalls(TRUTH, OLD, NEW, patterns=("normal", "ground_glass", "cyst"))
    overall = Share.of(OLD == TRUTH), Share.of(NEW == TRUTH)
    page = "\n".join(condition_page("Unseen scanners", overall, found, matrix(TRUTH, NEW, patterns=3)))
    assert "| ground glass | 1.000 (0.34 to 1.00) | 0.500 (0.09 to 0.91) | 2 | 1 |" in page
    assert "| 1 normal | 67 |  | 33 |" in page
    assert "| **all** | 0.500 (0.19 to 0.81) | 0.667 (0.30 to 0.90) | 6 | |" in page


def test_the_demonstration_is_compared_with_itself(tmp_path, capsys):
    package = str(next(default_packages_folder().glob("diffuse-lung-demo/*")))
    assert main([package, package, "--out", str(tmp_path), "--textures", "2", "--chests", "0"]) == 0
    page = (tmp_path / "confusion.md").read_text()
    assert page.index("## Unseen scanners") < page.index("## Scanners as in training")
    assert page.count("| **all** |") == 2
    assert page == capsys.readouterr().out


def test_a_package_of_other_images_is_refused(tmp_path, capsys):
    lung = str(next(default_packages_folder().glob("diffuse-lung-demo/*")))
    breast = str(next(default_packages_folder().glob("mammography-demo/*")))
    assert main([lung, breast, "--out", str(tmp_path)]) == 2
    assert "mammography-demo" in capsys.readouterr().err


def test_members_and_votes_are_tabled(tmp_path, capsys):
    sizes = {"textures": 4, "chests": 0, "epochs": 1, "folds": 2, "held-out-textures": 2, "held-out-chests": 0}
    arguments = [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
    recipe = Path(diffuse_lung_recipe.__file__).with_name("diffuse_lung.yaml")
    assert members([str(recipe), "--out", str(tmp_path), *arguments]) == 0
    page = (tmp_path / "members.md").read_text()
    assert page == capsys.readouterr().out
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [
        "vgg16-small",
        "vgg19-small",
        "resnet50-small",
        "densenet121-small",
        "hard vote",
        "soft vote",
    ]
    assert page.count("Against ") == 4


def test_a_recipe_of_another_pipeline_is_refused(tmp_path):
    recipe = Path(diffuse_lung_recipe.__file__).with_name("mammography.yaml")
    with pytest.raises(SystemExit, match="mammography, not diffuse_lung"):
        members([str(recipe), "--out", str(tmp_path)])
