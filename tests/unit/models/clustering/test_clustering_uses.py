# SPDX-License-Identifier: Apache-2.0
"""Phenotypes and picks are what they say, on planted groups and through the commands on a committed package."""

import csv
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

from PIL import Image
from scipy.stats import entropy
from sklearn.metrics import adjusted_rand_score

from harness.shipped import shipped
from models.clustering.__main__ import main
from models.clustering.embedding import cauchy_beta, make_embedding
from models.clustering.features import Features, feature_graph, studies_in, study_features
from models.clustering.phenotypes import describe, exemplars, group
from models.clustering.picking import entropies, pick
from service.domain.study import Refusal
from service.inference.package import load_package

PACKAGE = shipped("diffuse-lung-demo")
GROUPS = (60, 40, 20)


def _features(seed: int = 0, *, stray: int = 2) -> Features:
    """Three groups of 60, 40 and 20 images in 20 dimensions, and stray ones far away; five images a case."""
    rng = np.random.default_rng(seed)
    centres = 6 * rng.normal(size=(len(GROUPS), 20))
    truth = np.repeat(np.arange(len(GROUPS)), GROUPS)
    values = np.concatenate([centres[truth] + rng.normal(size=(len(truth), 20)), 60 * rng.normal(size=(stray, 20))])
    count = len(values)
    return Features(
        values=values.astype(np.float32),
        images=rng.integers(0, 255, size=(count, 8, 8), dtype=np.uint8),
        cases=np.array([f"case {index // 5}" for index in range(count)]),
        origin="planted",
        truth=np.array([*map(str, truth), *["stray"] * stray]),
    )


@pytest.mark.parametrize("seed", range(3))
def test_finds_planted_groups_from_the_largest_on_and_lists_strays(seed: int) -> None:
    features = _features(seed)
    grouping = group(features, groups=3, beta=None, seed=1)
    assert np.bincount(grouping.labels[:120]).tolist() == list(GROUPS)
    assert adjusted_rand_score(features.truth[:120], grouping.labels[:120]) == 1
    assert sorted(grouping.unusual.tolist()) == [120, 121]
    assert grouping.model.beta == cauchy_beta(grouping.points.shape[1])


def test_exemplars_are_members_of_many_cases_nearest_first() -> None:
    features = _features()
    grouping = group(features, groups=3, beta=None, seed=1)
    shown = exemplars(grouping, features.cases, group=0, count=12)
    assert len(set(features.cases[shown])) == 12
    assert (grouping.labels[shown] == 0).all()
    centre = np.median(grouping.points[grouping.labels == 0], axis=0)
    apart = np.linalg.norm(grouping.points[shown] - centre, axis=1)
    assert (np.diff(apart) >= 0).all()
    assert len(exemplars(grouping, features.cases, group=0, count=1000)) == (grouping.labels == 0).sum()


def test_describes_every_group_and_says_that_it_is_no_diagnosis() -> None:
    features = _features()
    told = describe(features, group(features, groups=3, beta=None, seed=1), count=2)
    assert "Not a diagnosis" in told["notice"]
    assert sum(each["images"] for each in told["phenotypes"]) == len(features.values)
    assert told["agreement_with_truth"]["adjusted_rand"] > 0.95
    hidden = replace(features, truth=np.full(122, ""))
    assert describe(hidden, group(hidden, groups=3, beta=None, seed=1), count=2)["agreement_with_truth"] is None


def test_cauchy_tails() -> None:
    """In p dimensions the kernel falls like |x|^-(p + 1)."""
    for dimensions in (1, 4, 16):
        beta = cauchy_beta(dimensions)
        ratio = ((1 + beta * 1e12) / (1 + beta * 4e12)) ** (1 / beta)
        assert math.log2(ratio) == pytest.approx(-(dimensions + 1), rel=1e-6)


def test_the_embedding_is_standardised_and_no_wider_than_asked() -> None:
    values = np.random.default_rng(0).normal(size=(50, 30)).astype(np.float32) * np.geomspace(1e-3, 1e3, 30)
    embedding = make_embedding(values, most=5)
    points = embedding(values)
    assert points.shape == (50, 5)
    assert np.abs(points).max() < 20
    far = embedding(values + 1e6 * values.std(axis=0))
    assert np.linalg.norm(far, axis=1).max() <= embedding.radius + np.linalg.norm(embedding.components.mean_)


def test_picks_are_free_distinct_and_not_strays() -> None:
    features = _features()
    grouping = group(features, groups=3, beta=None, seed=1)
    labelled = list(range(40))
    picks = pick(grouping, count=20, uncertain_share=0.5, labelled=labelled)
    chosen = [each.image for each in picks]
    assert len(set(chosen)) == 20
    assert not {*chosen} & {*labelled, 120, 121}
    assert [each.reason for each in picks] == ["uncertain"] * 10 + ["diverse"] * 10


def test_diverse_picks_reach_every_group_at_once() -> None:
    features = _features()
    grouping = group(features, groups=3, beta=None, seed=1)
    picks = pick(grouping, count=3, uncertain_share=0, labelled=[])
    assert len({int(features.truth[each.image]) for each in picks}) == 3
    more = pick(grouping, count=2, uncertain_share=0, labelled=[0])
    assert {features.truth[each.image] for each in more} == {"1", "2"}


@pytest.mark.parametrize("seed", range(5))
def test_no_image_is_farther_from_a_pick_than_twice_the_best_possible(seed: int) -> None:
    """Gonzalez' bound, against every choice of three of twelve images."""
    rng = np.random.default_rng(seed)
    grouping = group(_small(rng), groups=2, beta=None, seed=0)
    free = [index for index in range(12) if index not in grouping.unusual]
    apart = np.linalg.norm(grouping.points[:, None] - grouping.points, axis=2)
    best = min(apart[np.ix_(free, list(three))].min(axis=1).max() for three in itertools.combinations(free, 3))
    chosen = [each.image for each in pick(grouping, count=3, uncertain_share=0, labelled=[])]
    assert apart[np.ix_(free, chosen)].min(axis=1).max() <= 2 * best + 1e-9


def _small(rng: Any) -> Features:
    return Features(
        values=rng.normal(size=(12, 3)).astype(np.float32),
        images=np.zeros((12, 4, 4), dtype=np.uint8),
        cases=np.array([str(index) for index in range(12)]),
        origin="drawn",
        truth=np.full(12, ""),
    )


def test_uncertain_picks_have_the_highest_entropy_on_each_border() -> None:
    rng = np.random.default_rng(3)
    grouping = group(_small(rng), groups=2, beta=None, seed=0)
    found = entropies(grouping.memberships)
    np.testing.assert_allclose(found, entropy(grouping.memberships, axis=1), atol=1e-12)
    free = [index for index in range(12) if index not in grouping.unusual]
    picks = pick(grouping, count=4, uncertain_share=1, labelled=[])
    assert [each.image for each in picks] == sorted(free, key=lambda index: -found[index])[:4]


def test_equal_images_are_picked_once() -> None:
    features = _small(np.random.default_rng(0))
    twice = Features(
        values=np.concatenate([features.values, features.values]),
        images=np.concatenate([features.images, features.images]),
        cases=np.concatenate([features.cases, features.cases]),
        origin="twice",
        truth=np.full(24, ""),
    )
    grouping = group(twice, groups=2, beta=None, seed=0)
    with pytest.raises(ValueError, match=r"count 13: it must be at least 1 and at most the \d+ images that are left"):
        pick(grouping, count=13, uncertain_share=0.5, labelled=[])
    with pytest.raises(ValueError, match=r"uncertain share 1.5: it must be in \[0, 1\]"):
        pick(grouping, count=2, uncertain_share=1.5, labelled=[])


def test_files_of_features_are_checked(tmp_path: Path) -> None:
    features = _features()
    features.save(tmp_path / "good.npz")
    again = Features.load(tmp_path / "good.npz")
    np.testing.assert_array_equal(again.values, features.values)
    assert again.origin == "planted"
    np.savez(tmp_path / "other.npz", values=features.values)
    with pytest.raises(ValueError, match=r"other.npz: no file of `python -m models.clustering features`"):
        Features.load(tmp_path / "other.npz")
    features.values[3, 2] = np.nan
    features.save(tmp_path / "nan.npz")
    with pytest.raises(ValueError, match="features must be finite"):
        Features.load(tmp_path / "nan.npz")


@pytest.fixture(scope="module")
def phantom_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "phantoms.npz"
    assert main(["features", str(PACKAGE), "--phantoms", "6", "--out", str(path)]) == 0
    return path


def test_phenotypes_command_groups_phantom_textures(phantom_file: Path, tmp_path: Path) -> None:
    arguments = ["phenotypes", str(phantom_file), "--groups", "12", "--exemplars", "3", "--out"]
    assert main([*arguments, str(tmp_path / "first")]) == main([*arguments, str(tmp_path / "second")]) == 0
    told = json.loads((tmp_path / "first" / "phenotypes.json").read_text())
    assert told["agreement_with_truth"]["adjusted_rand"] > 0.7
    assert told["origin"].startswith(f"diffuse-lung-demo {PACKAGE.name} (")
    with (tmp_path / "first" / "assignments.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 72
    with Image.open(tmp_path / "first" / "exemplars.png") as sheet:
        assert sheet.height >= 12 * 48
    for name in ("phenotypes.json", "assignments.csv", "exemplars.png"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_pick_command_leaves_out_what_has_labels(phantom_file: Path, tmp_path: Path) -> None:
    labelled = tmp_path / "labelled.txt"
    labelled.write_text("\n".join(map(str, range(36))))
    arguments = ["pick", str(phantom_file), "--groups", "6", "--count", "10", "--labelled", str(labelled)]
    assert main([*arguments, "--out", str(tmp_path / "pick.csv")]) == 0
    with (tmp_path / "pick.csv").open() as file:
        rows = list(csv.DictReader(file))
    chosen = [int(row["image"]) for row in rows if row["reason"] != "unusual"]
    assert len(set(chosen)) == 10
    assert min(chosen) >= 36


def test_features_of_a_study_are_those_of_the_pipelines_own_patches(capsys: pytest.CaptureFixture[str]) -> None:
    package = load_package(PACKAGE, provider="cpu")
    (study,) = studies_in(PACKAGE / "golden" / "clear")
    found = study_features(package, study)
    assert isinstance(found, Features)
    assert len(found.values) > 500
    assert set(found.cases.tolist()) == {study[0].study_instance_uid}
    outputs = package.run(feature_graph(package), {"patches": found.images[:50, None].astype(np.float32) / 255})
    np.testing.assert_allclose(found.values[:50], outputs["feature"], atol=0.05)  # pictures have 8 bits
    assert isinstance(study_features(package, study[:3]), Refusal)


def test_wrong_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], phantom_file: Path) -> None:
    assert main(["features", str(PACKAGE), "--dicom", str(tmp_path), "--out", str(tmp_path / "none.npz")]) == 2
    assert "no study there that the pipeline analyses" in capsys.readouterr().err
    labelled = tmp_path / "labelled.txt"
    labelled.write_text("3 72")
    wrong = ["pick", str(phantom_file), "--count", "3", "--labelled", str(labelled), "--out", str(tmp_path / "p.csv")]
    assert main(wrong) == 2
    assert "'72' is no number of an image; they go from 0 to 71" in capsys.readouterr().err
    assert main(["phenotypes", str(tmp_path / "absent.npz"), "--out", str(tmp_path / "x")]) == 2
    mammography = shipped("mammography-demo")
    assert main(["features", str(mammography), "--phantoms", "2", "--out", str(tmp_path / "m.npz")]) == 2
    assert "pipeline 'mammography' has no texture phantoms" in capsys.readouterr().err
