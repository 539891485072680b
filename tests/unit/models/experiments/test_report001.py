# SPDX-License-Identifier: Apache-2.0
"""Report 001's experiment: the grid, the folds, what is kept, and that a confounded model is exposed."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import pywt
import torch
from sklearn.metrics import roc_auc_score

from harness.report_films import make_films
from models.experiments.report001.arms import ARMS, ArmPlan, compare_arms
from models.experiments.report001.cells import Cell, Design, control_cells, site_cells, table_cells
from models.experiments.report001.films import load_films, save_films
from models.experiments.report001.folds import cross_validate, leave_one_site_out, patient_folds
from models.experiments.report001.measuring import Collection, described, kept_or_measured, measure
from models.experiments.report001.overlay import binarised, pseudo_abnormal
from models.experiments.report001.page import (
    arms_markdown,
    as_markdown,
    control_markdown,
    kinds_markdown,
    sites_markdown,
)
from models.experiments.report001.phantom_sites import NORMAL, SITES, Plan, planned, shuffled
from models.experiments.report001.run import Experiment, run, steps_of
from models.experiments.report001.statistics import area_difference, area_under_curve, proportion
from models.experiments.report001.table import as_csv, mixed_site, row
from models.experiments.report001.training import Effort, FrontEnd, as_input, read, train
from models.generative.wgan import GanPlan

DESIGN = Design(networks=("resnet50-small",), size=32, epochs=2, folds=2, learning_rate=1e-2)
CELL = Cell(network="resnet50-small", masked=False)


def test_the_grid_is_the_report_s():
    cells = table_cells(("vgg16-small", "resnet50-small"))
    assert len(cells) == len(set(cells)) == len({cell.name for cell in cells}) == 68
    assert sum(cell.masked for cell in cells) == sum(cell.network == "vgg16-small" for cell in cells) == 34
    assert sum(not cell.wavelet for cell in cells) == 4
    assert {cell.wavelet for cell in cells} == {"", "haar", "db4", "sym4", "coif1"}
    more = {cell.name for cell in (*control_cells(("a",)), *site_cells(("a",), "AB"))}
    assert len(more) == 4


def test_the_phantoms_are_mixed_as_in_the_report():
    films = planned(Plan())
    counts = {(site.name, positive): 0 for site in SITES for positive in (True, False)}
    for film in films:
        counts[film.site.name, film.disease is not NORMAL] += 1
    assert counts == {
        ("A", True): 91,
        ("A", False): 4,
        ("B", True): 28,
        ("B", False): 23,
        ("C", True): 0,
        ("C", False): 90,
    }
    assert all(max(film.disease.levels.values()) >= 3 for film in films if film.disease is not NORMAL)
    assert 190 < len({film.body for film in films}) < 210, "some patients come twice"
    mixed = shuffled(films, seed=1)
    assert [(film.body, film.disease) for film in mixed] == [(film.body, film.disease) for film in films]
    positives = {site.name: np.mean([f.disease is not NORMAL for f in mixed if f.site is site]) for site in SITES}
    assert all(0.35 < share < 0.65 for share in positives.values())


def test_folds_keep_patients_and_balance():
    films = make_films()
    for trained, held in patient_folds(films, folds=3, seed=0):
        assert not set(films.patients[trained]) & set(films.patients[held])
        assert 3 <= films.labels[held].sum() <= 7
    with pytest.raises(ValueError, match="patients with disease, 9 folds need"):
        patient_folds(films, folds=9, seed=0)


def test_the_front_end_is_pywavelets_and_standardised():
    films = torch.rand(4, 1, 20, 24) * 3
    front = FrontEnd("sym4", "cD")
    front.measure(films)
    bands = np.stack([pywt.dwt2(film[0].numpy(), "sym4", mode="symmetric")[1][2] for film in films])
    expected = (bands - bands.mean()) / bands.std(ddof=1)
    np.testing.assert_allclose(front(films)[:, 0].numpy(), expected, atol=1e-4)


def test_the_mask_blackens_what_is_outside_before_anything_else():
    films = make_films()
    masked = as_input(films.films, films.lungs, size=224)[:, 0].numpy()
    assert (masked[~films.lungs] == 0).all()
    np.testing.assert_array_equal(masked[films.lungs], films.films[films.lungs])
    small = as_input(films.films, None, size=112)[0, 0].numpy()
    np.testing.assert_allclose(small, films.films[0].reshape(112, 2, 112, 2).mean(axis=(1, 3)), atol=1e-6)


def test_one_seed_is_one_network_and_other_random_numbers_are_left_alone():
    films = as_input(make_films().films, None, size=32)
    labels = torch.arange(len(films)) % 2
    effort = Effort(network="resnet50-small", steps=3)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (read(train(films, labels, effort), films).scores for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, read(train(films, labels, replace(effort, seed=1)), films).scores)


def test_a_confounded_model_is_exposed():
    """No film shows disease: what the network reads of the films as collected is their site."""
    collected = make_films(counts=((30, 2), (10, 10), (0, 28)))
    rng = np.random.default_rng(3)
    tone = 0.3 * np.searchsorted(["A", "B", "C"], collected.sites) / 2
    other = 0.3 * rng.integers(0, 3, len(collected)) / 2
    mixed = replace(collected, films=collected.films + (other - tone)[:, None, None].astype(np.float32))
    measured = measure(CELL, Collection(name="t", collected=collected, shuffled=mixed), replace(DESIGN, epochs=6))
    found = row(CELL, {**measured, "cpu_seconds": 1.0}, collected)
    assert found.auc.value > 0.85
    assert found.site_read.value > 0.9
    assert abs(found.shuffled.value - 0.5) < 0.2
    assert found.within_site.low < 0.5 < found.within_site.high


def test_leaving_a_site_out_trains_on_the_others_alone():
    films = make_films(disease=0.5, site_tone=0.0)
    effort = replace(DESIGN.effort(CELL, len(films)), steps=40)
    inputs = as_input(films.films, None, size=32)
    scores = leave_one_site_out(films, inputs, effort, site="B")
    assert roc_auc_score(films.labels[films.sites == "B"], scores) == 1.0
    spoilt = inputs.clone()
    spoilt[films.sites == "B"] = 0.0
    assert not np.array_equal(scores, leave_one_site_out(films, spoilt, effort, site="B"))
    two_sites = replace(films, sites=np.where(films.sites == "C", "C", "D"))
    with pytest.raises(ValueError, match="without site 'D' one class is left"):
        leave_one_site_out(two_sites, inputs, effort, site="D")


def test_a_cell_is_measured_once_and_never_taken_for_another(tmp_path):
    films = Collection(name="t", collected=make_films())
    path, calls = tmp_path / "cells" / "x.json", []

    def count():
        calls.append(1)
        return {"scores": [0.5]}

    about = described(CELL, films, DESIGN)
    assert kept_or_measured(path, about, count)["scores"] == [0.5]
    assert kept_or_measured(path, about, count) == json.loads(path.read_text("utf-8"))
    assert len(calls) == 1
    for other in (described(CELL, films, replace(DESIGN, epochs=9)), described(CELL, replace(films, name="u"), DESIGN)):
        with pytest.raises(ValueError, match="measured with other films or settings"):
            kept_or_measured(path, other, count)
    assert described(CELL, films, replace(DESIGN, device="cuda")) == about


def test_the_control_needs_shuffled_films():
    cell = replace(CELL, trained_on="shuffled")
    with pytest.raises(ValueError, match="which only phantoms have"):
        measure(cell, Collection(name="t", collected=make_films()), DESIGN)


def test_the_auc_is_scikit_learn_s_and_its_interval_follows_patients():
    rng = np.random.default_rng(4)
    labels = rng.random(60) < 0.5
    scores = np.round(labels * 0.5 + rng.random(60), 1)
    alone, paired = np.arange(60).astype(str), (np.arange(60) // 6).astype(str)
    found = area_under_curve(scores, labels, alone)
    assert found.value == roc_auc_score(labels, scores)
    assert found.low < found.value < found.high
    assert area_under_curve(scores, labels, alone) == found
    doubled = np.repeat(np.arange(len(scores)), 4)
    clustered = area_under_curve(scores[doubled], labels[doubled], alone[doubled])
    pretended = area_under_curve(scores[doubled], labels[doubled], np.arange(240).astype(str))
    assert clustered.high - clustered.low > 1.5 * (pretended.high - pretended.low)
    assert np.isnan(area_under_curve(scores, labels | True, paired).value)
    nothing = area_difference(scores, scores, labels, alone)
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


def test_weighted_areas_are_scikit_learn_s():
    from models.experiments.report001.statistics import _areas

    rng = np.random.default_rng(6)
    labels, scores = np.arange(30) % 3 == 0, rng.integers(0, 8, 30) / 8
    times = rng.integers(0, 4, (5, 30)).astype(float)
    expected = [roc_auc_score(labels, scores, sample_weight=each) for each in times]
    np.testing.assert_allclose(_areas(scores, labels, times), expected, atol=1e-12)


def test_wilson_s_interval():
    found = proportion(np.arange(48) < 45)  # 45 of 48: Wilson 1927
    assert (round(found.low, 3), round(found.high, 3)) == (0.832, 0.979)


def test_overlays_brighten_the_dark_parts_only():
    film = np.full((64, 64), 0.8, dtype=np.float32)
    film[:, 20:50] = 0.2
    assert binarised(film)[:, 22:48].all()
    assert not binarised(film)[:, :18].any()
    drawn = [pseudo_abnormal(film, pixel_mm=1.0, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    for made in drawn:
        assert (made >= film).all()
        assert (made[:, 20:50] > film[:, 20:50] + 0.01).any()
        np.testing.assert_allclose(made[:, :16], film[:, :16], atol=1e-6)


@pytest.fixture(scope="module")
def arms():
    plan = ArmPlan(
        effort=Effort(network="resnet50-small", steps=2, batch=4),
        gan=GanPlan(steps=2, batch=4, critic_steps=1),
        folds=2,
    )
    films = make_films()
    steps = []
    return films, compare_arms(films, plan, step=lambda: steps.append(1)), steps


def test_every_arm_scores_every_film(arms):
    films, told, steps = arms
    assert set(told["scores"]) == set(ARMS)
    assert all(np.isfinite(values).all() and len(values) == len(films) for values in told["scores"].values())
    assert len({tuple(values) for values in told["scores"].values()}) == len(ARMS)
    assert len(steps) == 10
    page = arms_markdown(films, told)
    assert page.count("fold ") == 2
    assert "| with GAN |" in page


def test_arms_without_patches_are_refused():
    films = make_films()
    bare = replace(films, patches=films.patches[:0], patch_film=films.patch_film[:0])
    with pytest.raises(ValueError, match="no film has patches"):
        compare_arms(bare, ArmPlan(effort=Effort(network="resnet50-small", steps=1)), step=lambda: None)


def test_the_whole_runs_is_kept_and_told(tmp_path):
    collected = make_films()
    films = Collection(name="t", collected=collected, shuffled=make_films(seed=2))
    cells = (CELL, replace(CELL, masked=True, wavelet="haar", band="cD"))
    experiment = Experiment(
        design=replace(DESIGN, epochs=1), cells=cells, arm_epochs=0.2, gan=GanPlan(steps=1, batch=4, critic_steps=1)
    )
    steps = []
    written = run(experiment, films, tmp_path, step=lambda: steps.append(1))
    assert len(steps) == steps_of(experiment, films)
    text = written[-1].read_text("utf-8")
    assert "32 films of 16 patients, 15 with and 17 without disease" in text
    assert "| resnet50-small | lungs | haar D |" in text
    assert "Leave one site out" in text
    lines = (tmp_path / "table.csv").read_text("utf-8").splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("resnet50-small,False,,cA,collected,,")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    run(experiment, films, tmp_path, step=lambda: None)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()} == before


def test_one_part_is_measured_alone(tmp_path):
    films = Collection(name="noise", collected=make_films())
    experiment = Experiment(design=replace(DESIGN, epochs=1), cells=(), parts=("control", "sites"))
    steps = []
    names = [path.name for path in run(experiment, films, tmp_path, step=lambda: steps.append(1))]
    assert names == ["sites.md", "report001.md"], "films of a site have no control"
    assert len(steps) == steps_of(experiment, films)


def test_the_mixed_site_has_most_of_both():
    assert mixed_site(make_films()) == "B"


def test_films_survive_their_file(tmp_path):
    films = make_films()
    save_films(tmp_path / "films.npz", films)
    again = load_films(tmp_path / "films.npz")
    np.testing.assert_allclose(again.films, films.films, atol=1e-3)
    np.testing.assert_array_equal(again.patients, films.patients)
    assert again.films.dtype == np.float32


def test_pages_without_shuffled_films_leave_the_column_away():
    films = make_films()
    measured = {"scores": np.linspace(0, 1, len(films)).tolist(), "sites": films.sites.tolist(), "cpu_seconds": 1.0}
    found = row(CELL, {**measured, "shuffled": None}, films)
    assert "AUC shuffled" not in as_markdown(films, DESIGN, [found])
    assert as_csv([found]).splitlines()[1].count(",") == as_csv([found]).splitlines()[0].count(",")
    assert control_markdown([found]).count("resnet50-small") == 1
    assert "q (15)" in kinds_markdown(films, {CELL: measured})
    without = site_cells(("n",), "A")[0]
    assert "of one class" in sites_markdown(films, {without: None})


def test_cross_validation_reads_no_film_with_a_network_that_saw_it():
    """A network that only knows by heart is at chance on what it has not seen."""
    films = make_films(site_tone=0.0)
    held = cross_validate(films, as_input(films.films, None, size=32), DESIGN.effort(CELL, len(films)), folds=2)
    assert np.isfinite(held.scores).all()
    assert area_under_curve(held.scores, films.labels, films.patients).low < 0.5
