# SPDX-License-Identifier: Apache-2.0
"""Rows of phantom studies: kept, taken up again, and made into a reference; the simulation ranks as the node does."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from harness.drift_studies import study
from models.drift.__main__ import main
from models.drift.bodies import ANY, DRAW, LEVEL, NOISE, SETTINGS, USUAL
from models.drift.reference import LEFT_OUT, orders, reference_of, site_orders
from models.drift.studies import BROKEN_WINDOW, Order, Row, append_row, instance_of, missing, read_rows, run_order
from models.experiments.drift_simulation import Shift, Site, delays, false_alarms, normal_scores
from service.domain.drift import Monitored
from service.drift.ranks import normal_score
from service.drift.reference import place
from service.drift.watch import Rules
from service.inference.package import default_packages_folder, load_package
from service.settings import Settings

MAMMOGRAMS = Settings().pipelines["mammography"]


def rows(count: int, *, setting: str = USUAL, moved: float = 0.0, seed: int = 1, change: str = "") -> list[Row]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        order = Order(seed=number, setting=setting, diseased=number % 2 == 0, change=change)
        score = 2.0 * order.diseased
        made.append(Row(order=order, monitored=study(rng, moved={"noise": moved, "score": score})))
    return made


def test_rows_are_kept_and_taken_up_again(tmp_path: Path) -> None:
    path, made = tmp_path / "rows.jsonl", rows(3)
    assert read_rows(path) == []
    for row in made[:2]:
        append_row(path, row)
    assert read_rows(path) == made[:2]
    assert list(missing([row.order for row in made], read_rows(path))) == [made[2].order]


def test_the_reference_is_of_the_scanners_of_training_alone() -> None:
    found = reference_of([*rows(110, setting=ANY), *rows(90, setting=NOISE), *rows(30, setting=ANY, change="window")])
    assert found.source == "110 phantom studies on the scanners of training, 55 of them with disease"
    channels = {entry.channel: entry.studies for entry in found.overall.channels}
    assert not set(LEFT_OUT) & set(channels)
    assert set(channels.values()) == {110}
    with pytest.raises(ValueError, match="90 studies are too few"):
        reference_of(rows(90, setting=ANY))


def test_half_of_the_studies_of_a_reference_are_diseased_and_each_has_its_seed() -> None:
    wanted = orders(10)
    assert sum(order.diseased for order in wanted) == 5
    assert len({order.seed for order in wanted}) == 10


def test_a_drawn_study_goes_through_the_real_pipeline_and_a_broken_file_shows() -> None:
    package = load_package(default_packages_folder() / MAMMOGRAMS.package / MAMMOGRAMS.version, provider="cpu")
    order = Order(seed=7, setting=USUAL, diseased=False)
    plain, again, broken = (
        run_order("mammography", package, one)
        for one in (order, order, Order(seed=7, setting=USUAL, diseased=False, change=BROKEN_WINDOW))
    )
    assert plain == again
    assert {"score", "level", "noise"} <= set(plain.monitored.numbers)
    assert not {"score", "contrast"} & set(broken.monitored.numbers), "the package's limits refuse it"


@pytest.mark.parametrize("pipeline", ["diffuse_lung", "pneumoconiosis"])
def test_every_pipeline_is_drawn_for(pipeline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.drift.bodies.FILM_SHAPE", (210, 190))
    monkeypatch.setattr("models.drift.bodies.FILM_MM", 2.0)
    monkeypatch.setattr("models.drift.bodies.CT_MATRIX", 120)
    monkeypatch.setattr("models.drift.bodies.CT_MM", 3.0)
    for setting in SETTINGS if pipeline == "diffuse_lung" else (ANY, LEVEL):
        folder = tmp_path / setting
        DRAW[pipeline](folder, seed=3, setting=setting, diseased=True)
        assert [instance_of(path).text("Modality") for path in folder.glob("*.dcm")]


def test_the_simulation_ranks_as_the_node_does() -> None:
    site = Site.of(rows(120))
    rng = np.random.default_rng(3)
    reference = site.reference(rng, 300)
    values = site.draw(rng, (500,))
    values[0, :] = np.nan
    scores = normal_scores(reference, site.names, values, rng)
    assert np.isnan(scores[0]).all()
    channel = reference.overall.channel("noise")
    assert channel is not None
    column = site.names.index("noise")
    for value, score in zip(values[1:, column].tolist(), scores[1:, column].tolist(), strict=True):
        width = (channel.counts[place(channel, value)] + 1) / (channel.studies + 1)
        assert abs(ndtr(score) - ndtr(normal_score(channel, value, key="k"))) <= width, "a rank within the same bin"
    assert abs(np.nanmean(scores)) < 0.15


def test_a_study_that_was_not_analysed_has_no_score_in_the_simulation_either() -> None:
    made = rows(120)
    absent = replace(made[0].monitored, numbers={"noise": 0.1})
    site = Site.of([replace(made[0], monitored=absent), *made[1:]])
    channels = {
        entry.channel: entry.studies for entry in site.reference(np.random.default_rng(1), 400).overall.channels
    }
    assert channels["noise"] == 400
    assert 380 < channels["score"] < 400


def test_the_simulation_is_silent_on_usual_streams_and_sees_a_shift() -> None:
    site = Site.of([*rows(120), *rows(60, setting=NOISE, moved=2.0, seed=2)])
    assert site.pools.keys() == {USUAL, NOISE}
    rules = Rules()
    assert false_alarms(site, studies=300, streams=20, exams=200, rules=rules) == 0
    found = delays(site, Shift(name="n", kind=NOISE), studies=300, streams=10, rules=rules, before=50, after=80)
    assert (found > 0).all()
    assert np.median(found) < 40
    assert isinstance(study(np.random.default_rng(1)), Monitored)


def test_the_studies_of_a_simulated_site_are_nobody_elses_and_leave_the_package_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_orders(usual=6, changed=4)
    assert len({order.seed for order in [*site, *orders(400)]}) == len(site) + 400
    kinds = Counter((order.setting, order.change, order.diseased) for order in site)
    assert kinds[USUAL, "", True] == kinds[USUAL, "", False] == 3
    assert kinds[USUAL, BROKEN_WINDOW, True] == kinds[NOISE, "", False] == 2
    assert {order.setting for order in site} == set(SETTINGS) - {ANY}
    asked: list[Order] = []

    def measured(*_: object, wanted: list[Order], **__: object) -> list[Row]:
        asked.extend(wanted)
        return []

    monkeypatch.setattr("models.drift.__main__.measure", measured)
    monkeypatch.setattr("models.drift.__main__.add_reference", lambda *_: pytest.fail("the manifest was written"))
    assert main([str(tmp_path / "p" / "1.0.0"), "--site", "--rows", str(tmp_path / "rows.jsonl")]) == 0
    assert set(asked) == {*orders(), *site_orders()}
