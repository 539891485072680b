# SPDX-License-Identifier: Apache-2.0
"""What the finder of lung without air is taught and measured on, and what its package says of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.shipped import PACKAGES
from models.phantoms.computed_tomography import NOT_LUNG, Scanner, Slice
from models.recipes.diffuse_lung_card import with_dense, without_dense
from models.recipes.diffuse_lung_dense import is_dense_row, metric_rows
from models.recipes.diffuse_lung_dense_data import DenseSet, bend, consolidate, draw_dense_set
from models.recipes.diffuse_lung_slices import MissingSlicesError, list_digest, listed_slices, real_slices
from models.train import main

RECIPE = Path(__file__).parents[4] / "models" / "recipes" / "diffuse_lung.yaml"
ROW = {"name": "share of drawn consolidation inside the lungs found, with the graph", "condition": "in-domain"}


@pytest.fixture(scope="module")
def drawn() -> DenseSet:
    return draw_dense_set(6, seed=7, scanner=lambda _: Scanner(noise_hu=0.0))


def test_a_set_has_slices_their_lungs_and_how_deep_each_point_lies(drawn: DenseSet) -> None:
    assert drawn.slices.shape == drawn.lungs.shape == drawn.depths_mm.shape == (6, 1, 160, 160)
    assert set(drawn.lungs.unique().tolist()) == {0.0, 1.0}
    assert 0 <= float(drawn.slices.min()) < float(drawn.slices.max()) <= 1
    assert ((drawn.depths_mm > 0) == (drawn.lungs > 0)).all()
    assert 20 < float(drawn.depths_mm.max()) < 100


def test_consolidation_is_painted_into_lungs_alone_and_into_some_of_them(drawn: DenseSet) -> None:
    generator = torch.Generator().manual_seed(3)
    painted = consolidate(drawn.slices, drawn.lungs, drawn.depths_mm, generator=generator)

    changed = (painted - drawn.slices).abs() > 1e-6
    assert not (changed & (drawn.lungs == 0)).any()
    shares = changed.float().sum(dim=(1, 2, 3)) / drawn.lungs.sum(dim=(1, 2, 3)).clamp(min=1)
    assert shares.min() == 0
    assert shares.max() > 0.2
    levels_hu = 1200 * painted[changed] - 1000
    assert -80 < float(levels_hu.median()) < 80


def test_bending_moves_a_slice_and_its_lungs_together_and_mirrors_nothing() -> None:
    marked = torch.zeros(8, 2, 64, 64)
    marked[:, :, 20:44, 4:20] = 1
    bent = bend(marked, torch.Generator().manual_seed(1))

    torch.testing.assert_close(bent[:, 0], bent[:, 1])
    assert (bent != marked).any(dim=3).any(dim=2).all()
    middles = (bent[:, 0].sum(dim=1) * torch.arange(64)).sum(dim=1) / bent[:, 0].sum(dim=(1, 2))
    assert middles.max() < 32


def test_what_is_found_is_counted_by_thresholds_alone_and_with_the_graph() -> None:
    # The side has air above its dense part: to one without any the graph adds nothing.
    hounsfield = np.full((300, 300), 40, dtype=np.float32)
    hounsfield[:30] = hounsfield[-30:] = -1000
    hounsfield[:, :30] = hounsfield[:, -30:] = -1000
    truth = np.full((300, 300), NOT_LUNG, dtype=np.uint8)
    truth[80:220, 50:120] = 0
    hounsfield[80:220, 50:120] = -850
    truth[80:220, 180:250] = 1
    hounsfield[80:110, 180:250] = -850
    truth[80:110, 180:250] = 0
    section = Slice(hounsfield=hounsfield, truth=truth, z_mm=0.0, pixel_mm=1.2)

    rows = metric_rows([[section]], lambda slice_, _: np.ones(slice_.shape, dtype=np.bool_), condition="x")

    values = {row["name"]: (row["value"], row["cases"]) for row in rows}
    alone, helped = (values[f"share of drawn consolidation inside the lungs found, {name}"] for name in NAMES)
    assert alone[0] < 0.02
    assert helped[0] > 0.99
    assert alone[1] == helped[1] == 1
    false = [values[f"found where there is no lung, as a share of the lung, {name}"] for name in NAMES]
    assert false[0][0] < 0.1 < false[1][0]
    assert all(is_dense_row(row["name"]) for row in rows)


NAMES = ("thresholds alone", "with the graph")


def test_a_card_tells_of_the_graph_and_can_be_made_not_to() -> None:
    (folder,) = (PACKAGES / "diffuse-lung-demo").iterdir()
    bare = without_dense((folder / "MODEL_CARD.md").read_text("utf-8"))

    told = with_dense(bare, [{**ROW, "value": 0.9, "cases": 4}], learnt="8 slices")

    assert f"| in-domain | {ROW['name']} | 0.900 | 4 |" in told
    assert without_dense(told) == bare
    with pytest.raises(ValueError, match="0 places"):
        with_dense(told, [], learnt="")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("name: diffuse-lung-demo", "name: another"), "the recipe's name is another"),
        (("dense_lung:", "held_back:"), "held_back"),
    ],
    ids=["another name", "no section"],
)
def test_a_recipe_of_another_package_is_refused_before_anything_is_drawn(
    change: tuple[str, str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.read_text("utf-8").replace(*change), "utf-8")
    (base,) = (PACKAGES / "diffuse-lung-demo").iterdir()

    assert main([str(recipe), "--base", str(base), "--out", str(tmp_path / "out")]) == 2
    assert says in capsys.readouterr().err


def test_files_that_are_missing_or_differ_are_named_with_where_they_come_from(tmp_path: Path) -> None:
    first, *_ = listed_slices()
    (tmp_path / first.file).parent.mkdir(parents=True)
    (tmp_path / first.file).write_bytes(b"another")

    with pytest.raises(MissingSlicesError, match=r"(?s)19001231-30\.dcm.*TCIA.*TotalSegmentator.*dense_lung\.real"):
        next(real_slices(tmp_path))


def test_a_recipe_names_the_list_that_it_was_made_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.read_text("utf-8").replace(list_digest(), "0" * 64), "utf-8")

    assert main([str(recipe), "--base", "nowhere", "--out", str(tmp_path / "out")]) == 2
    assert "list_sha256" in capsys.readouterr().err


def test_lungs_of_public_slices_are_where_air_is_and_bowel_is_none(real_data_folder: Path) -> None:
    parts: dict[str, list[float]] = {}
    for section in real_slices(real_data_folder):
        cm2 = float(section.lungs.sum()) * section.pixel_mm**2 / 100
        parts.setdefault(str(section.repeats), []).append(cm2)
        assert cm2 < 30 or section.hounsfield[section.lungs].mean() < -600

    assert [len(found) for found in parts.values()] == [3, 28, 38]
    assert min(parts["12"]) > 150
    assert sorted(parts["2"])[-4] < 5 < max(parts["2"])
