# SPDX-License-Identifier: Apache-2.0
"""Votes of zone readers against one reader: the figures, their intervals, and what cannot be compared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.ensemble import Member
from models.experiments.zone_votes import ALONE, TOGETHER, Zones, gain, lowered_by_tuning, main, mean, table
from models.networks.zone_ensemble import ZoneEnsemble
from models.networks.zone_profusion import ZoneProfusion
from models.recipes import pneumoconiosis_members
from models.recipes.pneumoconiosis_data import ZoneSet

RECIPES = Path(pneumoconiosis_members.__file__).parent
ARGUMENTS = ["--package", "absent", "--out"]


def zone_set(levels: list[int]) -> ZoneSet:
    """Return films of six zones of one level each; two films are of one body."""
    flat = torch.tensor(levels).repeat_interleave(6)
    random = torch.Generator().manual_seed(5)
    return ZoneSet(
        tensors=torch.rand((len(flat), 2, 288, 288), generator=random).half(),
        opacity_mm=(flat > 0).float()[:, None, None, None].expand(-1, 1, 18, 18),
        levels=flat,
        shapes=torch.zeros((len(flat), 6)),
        films=np.repeat(np.arange(len(levels)), 6),
        bodies=np.repeat(np.arange(len(levels)) // 2, 6),
    )


def read(data: ZoneSet, score: np.ndarray) -> Zones:
    """Return a reading whose logits all say a score (N,)."""
    logits = np.repeat(score[:, None], 11, axis=1).astype(np.float32)
    return Zones(data=data, profusion=logits, shape=np.zeros((len(score), 6), np.float32))


@pytest.fixture(scope="module")
def zones() -> ZoneSet:
    return zone_set([0, 8, 0, 8])


def test_the_mean_of_the_members_is_what_the_graph_reads(zones: ZoneSet) -> None:
    torch.manual_seed(3)
    networks = {"a": ZoneProfusion().eval(), "b": ZoneProfusion(family="densenet121-small", bands=("cD",)).eval()}
    members = [Member(name=name, error=0.2, alpha=alpha) for name, alpha in (("a", 1.0), ("b", 3.0))]
    graph = ZoneEnsemble(networks, members).eval()
    some = zones.where(np.arange(24) < 6)
    found = mean([Zones.of(network, some) for network in networks.values()], graph.weights.numpy())
    with torch.no_grad():
        profusion, shape, *_ = graph(some.tensors.float())
    np.testing.assert_allclose(found.profusion, profusion.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.shape, shape.numpy(), atol=1e-5)


def test_a_gain_is_told_by_bodies(zones: ZoneSet) -> None:
    sick = (zones.levels.numpy() >= 3).astype(np.float64)
    noise = np.random.default_rng(2).random(24)
    sure, guessed = read(zones, sick), read(zones, noise)
    assert sure.auc == 1.0
    assert gain(sure, sure) == (0.0, 0.0)
    low, high = gain(sure, guessed)
    assert 0 < low <= 1 - guessed.auc <= high < 1
    bodies = [np.flatnonzero(zones.bodies == body) for body in (0, 1)]
    most = max(1 - guessed.auc_of(body) for body in bodies)
    assert high == pytest.approx(most), "with two bodies, some draws are of one alone"


def test_an_auc_of_one_kind_of_zones_is_unknown(zones: ZoneSet) -> None:
    assert np.isnan(read(zones, np.zeros(24)).auc_of(np.arange(6)))


def test_logits_are_lowered_until_normal_tuning_films_are_read_as_normal(zones: ZoneSet) -> None:
    sick = zones.levels.numpy() >= 3
    tuning = read(zones, np.where(sick, 4.0, 1.0))
    rest = read(zones, np.where(sick, 4.0, 1.0))
    assert rest.films.called.all()
    (lowered,) = lowered_by_tuning([tuning, rest], count=1)
    assert lowered.films.called.tolist() == [False, True, False, True]
    assert lowered.auc == rest.auc


def test_the_table_tells_of_unseen_scanners_first_and_of_the_films(zones: ZoneSet) -> None:
    sick = (zones.levels.numpy() >= 3).astype(np.float64)
    good, bad = read(zones, 8 * sick - 4), read(zones, np.full(24, 4.0))
    sets = {"scanner-shift": good, "in-domain": good, "films": good}
    found = {ALONE: {name: replace(bad, data=each.data) for name, each in sets.items()}, TOGETHER: sets}
    lines = table(found, [Member(name="a", error=0.25, alpha=1.0986)]).splitlines()
    assert lines[0].startswith("| | scanner-shift: AUC | scanner-shift: kappa | in-domain: AUC |")
    assert lines[2].startswith(f"| {ALONE} | 0.500 | 0.000 | 0.500 |")
    assert "| 2 of 2 (100 %" in lines[2]
    assert lines[3].startswith(f"| {TOGETHER} | 1.000 | 0.")
    assert "| 0 of 2 (0 %" in lines[3]
    assert f"Votes against {ALONE}, scanner-shift: AUC +0.500 to +0.500 (95 % interval)." in lines
    assert lines[-1] == "Out-of-fold error and weight: a 0.250, 1.10."


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("diffuse_lung.yaml", "is of the pipeline diffuse_lung; give another recipe"),
        ("pneumoconiosis_phantom.yaml", "has no section ensemble; add one, or give another recipe"),
        ("absent.yaml", "cannot be read"),
    ],
)
def test_other_recipes_are_refused_before_anything_is_drawn(
    recipe: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(RECIPES / recipe), *ARGUMENTS, str(tmp_path)]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
