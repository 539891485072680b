# SPDX-License-Identifier: Apache-2.0
"""The diffuse lung recipe's parts: data of a group's own, the split, transferred networks, doubts and the card."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import torch

from models.networks.classifier import build_classifier
from models.networks.field_ensemble import ENSEMBLE_OUTPUTS
from models.phantoms.computed_tomography import shifted_scanner, usual_scanner
from models.recipes.diffuse_lung import training_patches
from models.recipes.diffuse_lung_card import overlap_table
from models.recipes.diffuse_lung_data import Patches, mixed_scanner
from models.recipes.diffuse_lung_members import train_ensemble, votes_table
from models.recipes.diffuse_lung_own import read_patches
from models.recipes.diffuse_lung_recipe import Augmentation, DiffuseLungRecipe, Ensemble
from models.recipes.diffuse_lung_training import augmented, build_network, train
from models.train import read_recipe
from models.training.fit import Places
from models.training.recipe_file import RecipeError, laid_over, parse_recipe, read_document

RECIPE = Path(__file__).parents[4] / "models" / "recipes" / "diffuse_lung.yaml"


def recipe(**changes: object) -> DiffuseLungRecipe:
    return parse_recipe(laid_over(read_document(RECIPE), changes), DiffuseLungRecipe, source="test")


def arrays(count: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "images": rng.random((count, 1, 48, 48), dtype=np.float32),
        "classes": np.arange(count, dtype=np.int64) % 12,
        "patients": np.array([f"p{number // 2}" for number in range(count)]),
    }


def test_own_patches_are_read_with_their_patients_as_bodies(tmp_path: Path) -> None:
    path, own = tmp_path / "own.npz", arrays()
    np.savez(path, **own)
    found = training_patches(recipe(data={"textures": 0, "chests": 0, "own": str(path)}).data)
    assert np.array_equal(found.images, own["images"])
    assert found.bodies.tolist() == ["own-p0", "own-p0", "own-p1", "own-p1", "own-p2", "own-p2"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"patients": None}, "has no patients; it holds images, classes, patients"),
        (
            {"images": np.zeros((6, 48, 48), np.float32)},
            r"images have shape \(6, 48, 48\); they must be \(N, 1, 48, 48\)",
        ),
        ({"images": np.zeros((6, 1, 48, 48))}, "images are float64; they must be float32"),
        ({"images": np.full((6, 1, 48, 48), 1.5, np.float32)}, "leave 0 to 1"),
        ({"images": np.full((6, 1, 48, 48), np.nan, np.float32)}, "leave 0 to 1"),
        ({"classes": np.zeros(5, np.int64)}, "not one for each image"),
        ({"classes": np.full(6, 12)}, "classes leave 0 to 11; they must be indices into normal, consolidation"),
        ({"classes": np.zeros(6)}, "classes are float64; they must be int64"),
        ({"patients": np.arange(6)}, "patients are int64; they must be text"),
        ({"patients": np.array([{}] * 6)}, "cannot be read"),
    ],
)
def test_own_patches_that_do_not_fit_are_refused(tmp_path: Path, changes: dict, told: str) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, **{name: value for name, value in {**arrays(), **changes}.items() if value is not None})
    with pytest.raises(RecipeError, match=told):
        read_patches(path)


_NPY = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }".ljust(127) + b"\n"


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for path, data in (
        (tmp_path / "gone.npz", None),
        (tmp_path / "text.npz", b"PK\x03\x04 no zip"),
        (tmp_path / "a", b""),
    ):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(RecipeError, match=r"data\.own: .*cannot be read"):
            read_patches(path)


def test_a_recipe_without_data_is_refused() -> None:
    with pytest.raises(RecipeError, match="textures and chests are 0 and own is missing"):
        recipe(data={"textures": 0, "chests": 0})


def test_a_mix_draws_the_scanners_in_its_shares_and_one_kind_draws_as_ever() -> None:
    mixed = mixed_scanner({usual_scanner: 0.75, shifted_scanner: 0.25})
    rng = np.random.default_rng(1)
    shifted = [mixed(rng).blur_mm >= 0.7 for _ in range(2000)]
    assert np.mean(shifted) == pytest.approx(0.25, abs=0.03)
    assert mixed_scanner({usual_scanner: 1.0, shifted_scanner: 0.0}) is usual_scanner


def test_turns_and_mirrors_only_move_pixels_and_can_be_switched_off() -> None:
    images = torch.rand((3, 1, 48, 48), generator=torch.Generator().manual_seed(1))
    seen = set()
    for seed in range(64):
        shown = augmented(images, Augmentation(), generator=torch.Generator().manual_seed(seed))
        assert torch.equal(shown.flatten().sort().values, images.flatten().sort().values)
        seen.add(shown.numpy().tobytes())
    assert len(seen) == 8
    still = Augmentation(turn=False, mirror=False)
    assert torch.equal(augmented(images, still, generator=torch.Generator().manual_seed(3)), images)


def test_a_network_starts_from_transferred_weights(tmp_path: Path) -> None:
    torch.manual_seed(4)
    source = build_classifier("resnet50-small", 1000, channels=3)
    names = {
        name.removeprefix("body."): value for name, value in source.state_dict().items() if name.startswith("body.")
    }
    head = {"fc.weight": torch.zeros(1000, 96), "fc.bias": torch.zeros(1000)}
    torch.save({**names, **head}, tmp_path / "weights.pth")
    weights = {"weights": str(tmp_path / "weights.pth")}
    network = build_network(recipe(network={"family": "resnet50-small"}, transfer=weights))
    found = network.explained.classifier.state_dict()
    torch.testing.assert_close(found["body.layer1.0.conv1.weight"], names["layer1.0.conv1.weight"])
    probability, logits, cam, feature = network.eval()(torch.rand(2, 1, 48, 48))
    torch.testing.assert_close(probability, logits.softmax(dim=1))
    assert (cam.shape, feature.shape) == ((2, 12, 6, 6), (2, 96))


@pytest.mark.parametrize("balance", ["loss", "draw", "none"])
def test_training_learns_what_can_be_learnt(balance: str) -> None:
    rng = np.random.default_rng(2)
    classes = np.repeat(np.arange(2), [120, 40]).astype(np.int64)
    images = (0.3 + 0.3 * classes[:, None, None, None] + 0.1 * rng.random((160, 1, 48, 48))).astype(np.float32)
    patches = Patches(images, classes, np.arange(160).astype(str))
    learner = recipe(
        balance=balance,
        fit={"epochs": 4, "batch": 16},
        network={"widths": [8, 12]},
        augmentation={"scanner_shift": None},
    )
    network = train(patches, patches.where(classes > 1), learner, places=Places(progress=False))
    with torch.no_grad():
        called = network(torch.from_numpy(images))[0].argmax(dim=1).numpy()
    assert (called == classes).mean() > 0.95


def test_the_card_says_how_far_augmentation_reaches_into_the_shift() -> None:
    shift = {"blur": {"sigma_px": [0.0, 1.0]}, "noise": {"deviation": [0.0, 0.05]}, "level": {"offset": [-0.02, 0.01]}}
    table = overlap_table(recipe(augmentation={"scanner_shift": {**dict.fromkeys(_sections()), **shift}}))
    assert "up to 0.86 mm" in table  # hypot(0.62, 0.6)
    assert "up to 81 HU" in table  # hypot(55, 60)
    assert "up to 36 HU to either side" in table  # 12 + 24
    assert "they are no shift" not in table
    assert "20 % of its phantoms" in overlap_table(recipe(data={"scanners": {"usual": 0.8, "shifted": 0.2}}))
    assert "up to 0.62 mm" in overlap_table(recipe(augmentation={"scanner_shift": None}))


def _sections() -> list[str]:
    return list(json.loads(read_recipe(RECIPE)[1].model_dump_json())["augmentation"]["scanner_shift"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ensemble": {"members": ["vgg16-field", "vgg16"]}}, "vgg16 unknown; name each once, of vgg16-field"),
        ({"ensemble": {"members": ["vgg16-field", "vgg16-field"]}}, "one named twice"),
        ({"ensemble": {"members": ["vgg16-field"]}}, "at least 2"),
        ({"ensemble": {"folds": 1}}, "greater than or equal to 2"),
        ({"ensemble": {}, "network": {"family": "vgg16-small"}}, "an ensemble has members of its own"),
    ],
)
def test_an_ensemble_that_cannot_be_is_refused(changes: dict, told: str) -> None:
    document = read_document(RECIPE)
    with pytest.raises(RecipeError, match=told):
        parse_recipe({**document, **changes}, DiffuseLungRecipe, source="test")


def test_an_ensemble_is_weighed_out_of_fold_on_patches_as_other_scanners_show_them() -> None:
    """Dark and bright patches are told apart by everybody, whatever the augmentation adds."""
    classes = np.arange(96, dtype=np.int64) % 2
    noise = 0.1 * np.random.default_rng(3).random((96, 1, 48, 48), dtype=np.float32)
    images = (0.2 + 0.5 * classes[:, None, None, None].astype(np.float32) + noise).astype(np.float32)
    patches = Patches(images, classes, np.array([f"body-{number // 2}" for number in range(96)]))
    settings = Ensemble(members=("resnet-field", "densenet-field"), folds=2)
    small = recipe(fit={"epochs": 5, "batch": 16})
    graph = train_ensemble(patches, patches.where(classes < 0), small, settings, places=Places(progress=False))
    assert [(member.name, member.kept) for member in graph.members] == [
        ("densenet-field", True),
        ("resnet-field", True),
    ]
    assert all(member.error < 0.2 for member in graph.members)
    with torch.no_grad():
        found = dict(zip(ENSEMBLE_OUTPUTS, graph(torch.from_numpy(patches.images)), strict=True))
    table = votes_table(graph, {"unseen": (patches, {name: values.numpy() for name, values in found.items()})})
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[1:]] == [
        "| densenet-field",
        "| resnet-field",
        "| hard vote",
        "| soft vote",
    ]
    assert "| soft vote | 1.000 | - | - |" in rows
