# SPDX-License-Identifier: Apache-2.0
"""Recipe files: strict, every problem named with its key, value and rule, unknown keys with the known ones."""

from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.recipes.diffuse_lung_recipe import DiffuseLungRecipe
from models.recipes.mammography_recipe import MammographyRecipe
from models.train import QUICK, main, read_recipe
from models.training.recipe_file import RecipeError, digest, laid_over, read_document
from models.training.split import kept_out

RECIPES = Path(__file__).parents[4] / "models" / "recipes"
DIFFUSE = RECIPES / "diffuse_lung.yaml"


def changed(tmp_path: Path, source: Path = DIFFUSE, **changes: object) -> Path:
    """A copy of a recipe file with changes; None removes a key."""
    document = laid_over(yaml.safe_load(source.read_text()), changes)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in document.items() if value is not None}))
    return path


def refusal(path: Path, effort: str | None = None) -> str:
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, effort=effort)
    return str(caught.value)


@pytest.mark.parametrize("effort", [None, QUICK])
@pytest.mark.parametrize("name", ["diffuse_lung", "mammography"])
def test_the_committed_recipes_can_be_read(name: str, effort: str | None) -> None:
    _, recipe = read_recipe(RECIPES / f"{name}.yaml", effort=effort)
    assert isinstance(recipe, {"diffuse_lung": DiffuseLungRecipe, "mammography": MammographyRecipe}[name])
    assert recipe.name == f"{name.replace('_', '-')}-demo"


def test_the_quick_effort_changes_what_it_names_and_nothing_else() -> None:
    whole, quick = read_document(DIFFUSE), read_document(DIFFUSE, effort=QUICK)
    assert quick["fit"]["epochs"] == 1
    assert quick["fit"]["peak_rate"] == whole["fit"]["peak_rate"]
    assert quick["augmentation"] == whole["augmentation"]
    assert "effort" not in quick


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"fit": {"batches": 3}},
            "fit.batches: unknown key; did you mean 'batch'? known here: batch, channels_last",
        ),
        ({"sead": 1}, "sead: unknown key; did you mean 'seed'? known here: augmentation, balance, calibration, data"),
        (
            {"augmentation": {"scanner_shift": {"noise": {"deviation": [0.0, 0.1], "colour": 3}}}},
            "augmentation.scanner_shift.noise.colour: unknown key; remove it; known here: deviation, grain_px, share",
        ),
        ({"fit": {"batch": 0}}, "fit.batch: value 0 is not accepted: Input should be greater than or equal to 1"),
        ({"fit": {"epochs": "8"}}, 'fit.epochs: value "8" is not accepted: Input should be a valid integer'),
        ({"seed": None}, "seed: is missing; add it"),
        ({"name": "Our Model"}, 'name: value "Our Model" is not accepted: String should match pattern'),
        ({"split": {"validation": 0.9}}, "split.validation: value 0.9 is not accepted: Input should be less than"),
        ({"network": {"family": "resnet"}}, "network: family 'resnet' is unknown; use one of patch-resnet, vgg16"),
        ({"transfer": {"weights": "a.pth"}}, "transfer needs a family with ImageNet weights, not 'patch-resnet'"),
        ({"data": {"scanners": {"usual": 0.5}}}, "usual 0.5 and shifted 0 must add up to 1"),
        ({"pipeline": "chest"}, "pipeline: value 'chest' is unknown; give one of diffuse_lung, mammography"),
        ({"pipeline": None}, "pipeline: is missing; give one of diffuse_lung"),
    ],
)
def test_what_a_recipe_must_not_say_is_named(tmp_path: Path, changes: dict, told: str) -> None:
    assert told in refusal(changed(tmp_path, **changes))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    told = refusal(changed(tmp_path, fit={"batch": 0, "momentum": 1}, seed=-1))
    assert "has 3 problem(s)" in told


def test_files_that_are_no_recipe_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    assert "cannot be read (No such file" in refusal(path)
    for text, told in [
        ("seed: 1\nseed: 2\n", "key 'seed' is given twice"),
        ("fit: &a {}\nnet: *a\n", "aliases"),
        ("- 1\n", "must be sections"),
        ("effort: 3\n", "must be sections"),
        ("seed: !!python/object/apply:os.getcwd []\n", "not plain YAML"),
    ]:
        path.write_text(text)
        assert told in refusal(path)


def test_an_effort_that_the_file_does_not_have_is_named(tmp_path: Path) -> None:
    assert "effort.quick is missing (there: none)" in refusal(changed(tmp_path, effort=None), effort=QUICK)


def test_the_command_ends_with_2_and_writes_nothing_when_the_recipe_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = changed(tmp_path, fit={"batch": 0})
    assert main([str(recipe), "--out", str(tmp_path / "out")]) == 2
    assert "fit.batch: value 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_pipeline_without_a_part_of_its_own_to_add_refuses_a_base(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RECIPES / "mammography.yaml"
    assert main([str(recipe), "--base", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "--base: nothing is added to a package of the pipeline mammography; leave it out" in capsys.readouterr().err


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    options = ("RECIPE.yaml", "--out", "--base", "--resume", "--tensorboard", "--quick", "--threads")
    for word in (*options, "docs/models.md"):
        assert word in shown


def test_the_digest_follows_every_value(tmp_path: Path) -> None:
    _, recipe = read_recipe(DIFFUSE)
    _, other = read_recipe(changed(tmp_path, fit={"peak_rate": 0.0041}))
    assert digest(recipe) == digest(read_recipe(DIFFUSE)[1])
    assert digest(recipe) != digest(other)


def test_a_body_is_kept_out_whole_and_stays_on_its_side_when_others_come() -> None:
    bodies = [f"patient-{number // 4}" for number in range(4000)]
    out = kept_out(bodies, share=0.2, seed=1)
    assert all(len(set(out[4 * body : 4 * body + 4])) == 1 for body in range(1000))
    assert out.mean() == pytest.approx(0.2, abs=0.03)
    assert (kept_out(bodies[400:800], share=0.2, seed=1) == out[400:800]).all()
    assert (kept_out(bodies, share=0.3, seed=1) >= out).all()
    assert (kept_out(bodies, share=0.2, seed=2) != out).any()
    assert not kept_out(bodies, share=0.0, seed=1).any()
