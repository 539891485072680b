# SPDX-License-Identifier: Apache-2.0
"""The graphs of large opacities and the pleura: what is drawn for them, thresholds, figures, what is switched off."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import torch

from harness.shipped import shipped
from models.packaging import put_keys
from models.phantoms.chest_radiograph.pleura import CLEAR_PLEURA, FINDINGS, Pleura, SidePleura
from models.recipes import pneumoconiosis_findings_evaluation as evaluation
from models.recipes.pneumoconiosis_card import with_findings, without_findings
from models.recipes.pneumoconiosis_findings import augment_findings, train_channels
from models.recipes.pneumoconiosis_findings_data import (
    CHANNELS,
    SIZE,
    FindingSet,
    Plan,
    as_finding_set,
    coarser,
    film_examples,
    phantom_examples,
    random_plan,
)
from models.recipes.pneumoconiosis_findings_evaluation import (
    Seen,
    Thresholds,
    called_clear,
    choose,
    is_finding_row,
    metric_rows,
    sensitivities,
)
from models.recipes.pneumoconiosis_findings_package import add_findings, make_findings, parameters_of
from models.recipes.pneumoconiosis_recipe import PneumoconiosisRecipe
from models.recipes.pneumoconiosis_training import Run
from models.train import main
from models.training.fit import Places
from models.training.fit_settings import FitSettings
from models.training.recipe_file import RecipeError, parse_recipe, read_document
from service.domain.image import IDENTITY
from service.inference.package import load_package
from service.pipelines.pneumoconiosis.large_opacities import FieldAreas, LargeOpacity
from service.pipelines.pneumoconiosis.lungs import Film, Lungs
from service.pipelines.pneumoconiosis.sheet import LargeOpacities

AREAS = FieldAreas(right_upper_zone_cm2=60, right_lung_cm2=200, left_lung_cm2=180)
CARD = "Large opacities, pleura and symbols are not read.\n## Known failures\n\nno\npleural disease."


def found(*longest_mm: float) -> LargeOpacities:
    return LargeOpacities.of([LargeOpacity(side="R", longest_mm=mm, area_cm2=mm**2 / 130) for mm in longest_mm], AREAS)


def seen(
    *, large: float = 0.0, at: float = 0.0, score: float = 0.0, findings: tuple[str, ...] = (), **scores: float
) -> Seen:
    """A film with a large opacity of so many mm, found up to the threshold `at`, and pleural scores of the right."""
    return Seen(
        larges={each: found(*([20.0] if each <= at else [])) for each in evaluation.CUTS},
        scores={"R": {name: scores.get(name, score) for name in FINDINGS}, "L": dict.fromkeys(FINDINGS, 0.0)},
        true_large=found(*([large] if large else [])),
        true_pleura={"R": findings, "L": ()},
    )


@pytest.fixture(scope="module")
def films() -> tuple[FindingSet, list[Plan]]:
    examples = list(phantom_examples(77, bodies=3, exposures=3, shifted=None))
    return as_finding_set(examples, rng=np.random.default_rng(0)), [example.plan for example in examples]


def test_films_are_as_the_graphs_see_them_and_places_are_those_of_the_plan(films):
    data, plans = films
    assert data.films.shape == (9, 1, SIZE, SIZE)
    assert data.places.shape == (9, len(CHANNELS), SIZE, SIZE)
    assert 0 <= data.films.min() <= data.films.max() <= 1
    for plan, places in zip(plans, data.places.flatten(2).any(dim=2).numpy(), strict=True):
        pleural = {name for side in plan.pleura.sides.values() for name in side.findings}
        assert places[0] == bool(plan.masses)
        assert {name for name, there in zip(FINDINGS, places[1:], strict=True) if there} <= pleural


def test_plans_have_each_part_and_none_of_it_on_about_half_of_the_films():
    plans = [random_plan(np.random.default_rng(seed)) for seed in range(300)]
    for part in ("masses", "small.levels", "pleura.sides"):
        there = [bool(_of(plan, part)) for plan in plans]
        assert 0.4 < np.mean(there) < 0.6
    assert all(11 <= mm <= 111 for plan in plans for _, mm in plan.masses)
    assert Plan(pleura=CLEAR_PLEURA).is_clear
    assert not Plan(pleura=Pleura(sides={"R": SidePleura(angle_mm=20)})).is_clear


def _of(plan: Plan, part: str) -> object:
    for name in part.split("."):
        plan = getattr(plan, name)
    return plan


def test_a_real_film_is_used_plain_and_drawn_into():
    rows, columns = np.mgrid[:800, :720]
    right, left = ((rows - 400) ** 2 / 260**2 + (columns - x) ** 2 / 110**2 < 1 for x in (200, 520))
    heart = (rows > 420) & (rows < 600) & (columns > 320) & (columns < 400)
    grey = np.where(right | left, 0.25, 0.7).astype(np.float32)
    pair = Film(pixels=grey, pixel_mm=0.5, to_source=IDENTITY), Lungs(right=right, left=left, heart=heart)
    plain, *drawn = film_examples([pair], seed=3, clean=1, drawn=4)
    assert plain.plan.is_clear
    assert not plain.places.any()
    assert plain.film.pixels.shape == (400, 360)
    np.testing.assert_allclose(plain.film.pixels, coarser(*pair)[0].pixels)
    assert any(not example.plan.is_clear for example in drawn)
    for example in drawn:
        changed = example.film.pixels > plain.film.pixels + 1e-3
        assert changed[example.places[0]].all()
        outside = ~(plain.lungs.right | plain.lungs.left)
        assert not changed[outside].any()


def test_films_and_places_are_mirrored_and_moved_together():
    film = torch.zeros((8, 1, 64, 64))
    film[:, :, 20:30, 10:20] = 1
    shown, places = augment_findings(film, film.repeat(1, 2, 1, 1), generator=torch.Generator().manual_seed(0))
    inside = (shown * places[:, :1]).sum() / places[:, :1].sum()
    assert inside > 0.5 + (shown * (1 - places[:, :1])).sum() / (1 - places[:, :1]).sum()
    columns = (places[:, 0].sum(1) * torch.arange(64)).sum(1) / places[:, 0].sum((1, 2))
    assert (columns < 32).any()
    assert (columns > 32).any()


def test_a_fit_lowers_what_is_missed(films):
    data, _ = films
    settings = [FitSettings(epochs=2, batch=3, peak_rate=0.01)]
    network = train_channels(
        data, slice(1, 5), passes=settings, seed=0, run=Run(name="t", places=Places(progress=False))
    )
    scores = network(data.films[:1].float())
    assert scores.shape == (1, 4, SIZE, SIZE)
    assert not network.training


def test_thresholds_call_at_most_a_twentieth_of_each_kind_of_normal_films():
    phantoms = [seen(at=0.9 if number == 0 else 0.2, score=0.01 * number) for number in range(20)]
    real = [seen(at=0.95 if number < 2 else 0.2, score=0.5) for number in range(20)]
    chosen = choose([phantoms, real])
    assert chosen.large == 0.97
    assert chosen.pleura == dict.fromkeys(FINDINGS, 0.505)
    assert choose([phantoms]).large == 0.3
    assert choose([[seen(large=30, at=0.995)], phantoms]).large == 0.3


def test_films_with_disease_do_not_move_thresholds():
    clear = [seen(score=0.2) for _ in range(19)]
    assert choose([[*clear, seen(score=0.99, findings=("plaque",))]]).pleura["plaque"] == 0.3
    assert choose([[*clear, *clear, seen(score=0.99), seen(score=0.99), seen(score=0.99)]]).pleura["plaque"] == 0.995


THRESHOLDS = Thresholds(large=0.5, pleura=dict.fromkeys(FINDINGS, 0.5))


def test_figures_count_films_for_masses_and_sides_for_the_pleura():
    films = [
        seen(large=20, at=0.9, findings=("angle",), angle=0.6),
        seen(large=20, at=0.3, findings=("angle",), angle=0.4),
        seen(large=70, at=0.9),
        seen(at=0.9, plaque=0.8),
        seen(),
    ]
    rows = {row["name"]: row for row in metric_rows(films, THRESHOLDS, condition="scanner-shift")}
    assert rows["films with a large opacity called"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert rows["films without one called large"]["value"] == 0.5
    assert rows["large opacity category, ILO rule"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert rows["median error of the summed diameters, mm"]["value"] == 25
    assert rows["sides with obliterated angle called"]["note"].startswith("1 of 2; ")
    assert "sides with plaque called" not in rows
    assert rows["films of clear pleura called plaque"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert rows["films of clear pleura called thickening"]["value"] == 0
    assert all(row["condition"] == "scanner-shift" for row in rows.values())


def test_thickening_without_its_angle_is_no_call():
    called = called_clear([seen(thickening=0.9), seen(thickening=0.9, angle=0.9)], THRESHOLDS)
    assert called["thickening"].tolist() == [False, True]


def test_what_calls_more_than_a_tenth_of_real_normals_is_switched_off():
    real = [seen(at=0.9 if number < 2 else 0.0, plaque=0.9 if number < 3 else 0.0) for number in range(20)]
    said = parameters_of(THRESHOLDS, real)
    assert "off" not in said["large_opacities"]
    assert said["pleura"]["findings"]["plaque"]["off"] == {"called": 3, "films": 20}
    assert all("off" not in how for name, how in said["pleura"]["findings"].items() if name != "plaque")
    unmeasured = parameters_of(THRESHOLDS, [])
    assert "off" not in str(unmeasured)


def test_what_finds_less_than_half_of_what_is_drawn_is_not_read():
    films = [seen(large=20, at=0.9, findings=("angle", "plaque"), angle=0.9), seen(large=20, findings=("angle",))]
    found = sensitivities(films, THRESHOLDS)
    assert found == {"large": 0.5, "angle": 0.5, "plaque": 0.0}
    said = parameters_of(THRESHOLDS, [], found)
    assert said["pleura"]["findings"].keys() == {"angle", "thickening", "calcification"}
    assert "large_opacities" in said
    nothing = parameters_of(THRESHOLDS, [], dict.fromkeys(("large", *FINDINGS), 0.4))
    assert nothing == {}
    assert "Nothing of it is read" in with_findings(CARD, [], nothing)


def test_the_card_tells_of_both_graphs_and_what_is_off():
    parameters = parameters_of(THRESHOLDS, [seen(plaque=0.9), seen()])
    rows = metric_rows([seen(large=20, at=0.9)], THRESHOLDS, condition="in-domain")
    card = with_findings(CARD, rows, parameters)
    assert "not read" not in card.replace("Symbols are not read", "")
    assert "plaque (1 of 2 real normal films called)" in card
    assert "| in-domain | films with a large opacity called | 1.000 | 1 |" in card
    with pytest.raises(ValueError, match="one is needed to add to it"):
        with_findings(card, rows, parameters)
    assert without_findings(card) == without_findings(CARD) == CARD


@pytest.mark.timeout(600)
def test_the_graphs_are_added_to_a_package_whose_others_stay_as_they_are(tmp_path):
    recipe = quick_recipe(films=None, version="9.9.9")
    shown = shipped("pneumoconiosis-demo")
    base = shutil.copytree(shown, tmp_path / "base" / recipe.name / shown.name)
    put_keys(base, {"name": recipe.name})
    folder = add_findings(base, recipe, tmp_path / "out", places=Places(progress=False))
    old, new = (load_package(each, provider="cpu").manifest for each in (base, folder))
    assert (new.name, new.version) == (recipe.name, "9.9.9")
    assert new.graphs.keys() == {"lungseg", "zones", "largeop", "pleura"}
    for graph in ("lungseg", "zones"):
        assert new.files[new.graphs[graph].file] == old.files[old.graphs[graph].file]
    assert new.graphs["pleura"].outputs["scores"].channels == FINDINGS
    rows = [row.name for row in new.training.metrics]
    assert any(is_finding_row(name) for name in rows)
    assert {row.name for row in old.training.metrics if not is_finding_row(row.name)} <= set(rows)


def test_a_base_of_another_name_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="is a package pneumoconiosis-demo, the recipe's name is"):
        add_findings(shipped("pneumoconiosis-demo"), quick_recipe(films=None), tmp_path, places=Places(progress=False))


def test_a_recipe_that_does_not_fit_the_base_ends_with_a_reason(tmp_path, capsys):
    recipe = Path(evaluation.__file__).with_name("pneumoconiosis_phantom.yaml")
    base = shipped("pneumoconiosis-demo")
    assert main([str(recipe), "--base", str(base), "--out", str(tmp_path)]) == 2
    assert "the recipe's name is pneumoconiosis-phantom-demo" in capsys.readouterr().err


def no_lungs(film: Film) -> Lungs:
    raise AssertionError(f"no lungs were to be looked for on a film of {film.pixels.shape}")


def test_a_recipe_without_findings_trains_none(tmp_path):
    recipe = quick_recipe(films=None, findings=None)
    with pytest.raises(ValueError, match="no section findings"):
        make_findings(recipe, no_lungs, folder=tmp_path, places=Places(progress=False))


def quick_recipe(**changes: object) -> PneumoconiosisRecipe:
    path = Path(evaluation.__file__).with_name("pneumoconiosis_findings.yaml")
    document: Mapping[str, object] = {
        **read_document(path, effort="quick"),
        "name": "pneumoconiosis-phantom-demo",
        **changes,
    }
    return parse_recipe(dict(document), PneumoconiosisRecipe, source=path.name)
