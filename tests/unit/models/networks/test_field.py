# SPDX-License-Identifier: Apache-2.0
"""Networks without padding say of a field what they say of its patches; an ensemble of them is one exact graph."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import torch
from numpy.typing import NDArray
from torch import nn

from models.ensemble import Member
from models.export import export_onnx
from models.networks.field import FIELD_DESIGNS, FieldClassifier, Windows
from models.networks.field_ensemble import ENSEMBLE_OUTPUTS, FieldEnsemble
from models.networks.patch_resnet import PatchResNet
from models.phantoms.computed_tomography import ChestPhantom
from models.recipes.diffuse_lung_data import RECIPE
from service.imaging.resample import resample_mm
from service.pipelines.diffuse_lung.extent import in_batches, in_fields
from service.pipelines.diffuse_lung.lungs import find_lungs
from service.pipelines.diffuse_lung.patches import tile

CLASSES = 5
FIELD = torch.rand((2, 1, 48 + 12 * 2, 48 + 12 * 4), generator=torch.Generator().manual_seed(2))


def built(name: str) -> FieldClassifier:
    """A member whose normalisation does something, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = FIELD_DESIGNS[name](CLASSES)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.01, 0.2)
    return network.eval()


def patches_of(fields: torch.Tensor) -> torch.Tensor:
    down, across = ((size - 48) // 12 + 1 for size in fields.shape[2:])
    cut = [
        field[:, 12 * row : 12 * row + 48, 12 * column : 12 * column + 48]
        for field in fields
        for row in range(down)
        for column in range(across)
    ]
    return torch.stack(cut)


@pytest.mark.parametrize("name", FIELD_DESIGNS)
@pytest.mark.parametrize("beyond", [0, 7])
@torch.no_grad()
def test_a_field_is_read_as_its_patches_are(name: str, beyond: int) -> None:
    """Pixels beyond the last whole patch change nothing."""
    network = built(name)
    wider = nn.functional.pad(FIELD, (0, beyond, 0, beyond), value=0.5)
    whole, whole_depths = network.with_depths(wider)
    cut, cut_depths = network.with_depths(patches_of(FIELD))
    assert len(whole[0]) == 2 * 3 * 5
    assert whole[1].std(dim=0).min() > 1e-4, "logits that do not vary would prove nothing"
    for field, patch in zip((*whole, *whole_depths.values()), (*cut, *cut_depths.values()), strict=True):
        torch.testing.assert_close(field, patch, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FIELD_DESIGNS)
@torch.no_grad()
def test_maps_add_up_to_the_logits(name: str) -> None:
    network = built(name)
    _, logits, maps, _ = network(FIELD)
    assert maps.shape == (30, CLASSES, 6, 6)
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + network.bias, logits, atol=1e-5, rtol=1e-5)


def test_networks_that_pad_or_stride_otherwise_are_found_out() -> None:
    """The residual network of padded convolutions halves three times: 12 is no multiple of 8."""
    padded = PatchResNet(CLASSES).backbone
    with pytest.raises(ValueError, match="patches 12 pixels apart lie 2 and then 1 cells apart"):
        Windows.of(padded)
    with pytest.raises(ValueError, match="a map of 24 cells does not divide 6"):
        FieldClassifier(nn.Sequential(nn.Conv2d(1, 4, 1)), nn.Sequential(nn.AvgPool2d(2)), features=4, classes=2)


def ensemble(temperature: float = 0.5) -> tuple[FieldEnsemble, dict[str, FieldClassifier]]:
    networks = {name: built(name) for name in FIELD_DESIGNS}
    alphas = (3.0, 2.0, 4.0, -0.1)
    members = [Member(name=name, error=0.2, alpha=alpha) for name, alpha in zip(networks, alphas, strict=True)]
    return FieldEnsemble(networks, members, temperature=temperature).eval(), networks


@torch.no_grad()
def reference() -> dict[str, NDArray[np.float64]]:
    """The vote written out in numpy from the members alone, patch by patch; the last member is dropped."""
    _, networks = ensemble()
    weights = np.array([3.0, 2.0, 4.0]) / 9
    outputs = [network(patches_of(FIELD)) for network in list(networks.values())[:3]]
    each = np.stack([probability.double().numpy() for probability, _, _, _ in outputs])
    soft = np.einsum("m,mnk->nk", weights, each)
    sharp = soft**2 / (soft**2).sum(axis=1, keepdims=True)
    ordered = np.sort(sharp, axis=1)
    entropy = lambda p: -(p * np.log(p)).sum(axis=-1)  # noqa: E731
    return {
        "probability": sharp,
        "logits": np.einsum("m,mnk->nk", weights, np.stack([logits.double().numpy() for _, logits, _, _ in outputs])),
        "feature": outputs[2][3].double().numpy(),
        "vote": np.einsum("m,mnk->nk", weights, np.eye(CLASSES)[each.argmax(axis=2)]),
        "margin": ordered[:, -1] - ordered[:, -2],
        "divergence": entropy(soft) - weights @ entropy(each),
    }


def test_one_graph_votes_on_patches_and_on_fields_alike(tmp_path: Path) -> None:
    graph, _ = ensemble()
    assert graph.strongest == "resnet-field"
    free = {name: {0: "tiles"} for name in ENSEMBLE_OUTPUTS} | {"patches": {2: "rows", 3: "columns"}}
    examples = [{"patches": patches_of(FIELD).numpy()}, {"patches": FIELD.numpy()}]
    export = export_onnx(
        graph,
        tmp_path / "ensemble.onnx",
        examples=examples,
        output_names=ENSEMBLE_OUTPUTS,
        free_axes=free,
        tolerance=1e-5,
    )
    (_, of_patches), (_, of_field) = export.golden
    for name, expected in reference().items():
        np.testing.assert_allclose(of_patches[name], expected, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(of_field[name], of_patches[name], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(of_field["cam"], of_patches["cam"], atol=1e-5)
    apart = of_field["logits"] - of_field["cam"].mean(axis=(2, 3))
    np.testing.assert_allclose(apart, np.tile(apart[:1], (len(apart), 1)), atol=1e-5)


@torch.no_grad()
def test_a_temperature_changes_neither_order_nor_votes() -> None:
    warm, _ = ensemble(1.0)
    cold = warm.tempered(0.25)
    before, after = warm(FIELD), cold(FIELD)
    assert torch.equal(before[0].argsort(dim=1), after[0].argsort(dim=1))
    assert (after[5] > before[5]).all()
    assert torch.equal(before[4], after[4])
    assert torch.equal(before[6], after[6])


def test_weights_of_other_members_are_refused() -> None:
    networks = {"vgg16-field": built("vgg16-field")}
    with pytest.raises(ValueError, match=r"weights are for a: .*, networks are vgg16-field"):
        FieldEnsemble(networks, [Member(name="a", error=0.1, alpha=2.0)])


@torch.no_grad()
def test_the_pipeline_reads_a_slice_by_fields_as_by_patches() -> None:
    """Both ways through the code of the pipeline, on a drawn chest: the same probabilities, in the same order."""
    graph, _ = ensemble()
    chest = ChestPhantom(seed=3, slices=24, matrix=256, pixel_mm=1.4).slice(9)
    hounsfield, _ = resample_mm(chest.hounsfield, (1.4, 1.4), target_mm=RECIPE.pixel_mm)
    sides = find_lungs(hounsfield, pixel_mm=RECIPE.pixel_mm)
    tiling = tile(np.where(np.arange(len(sides))[:, None] < 300, sides, 0).astype(np.uint8), RECIPE)
    fields: list[tuple[int, ...]] = []

    def read(field: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        fields.append(field.shape)
        return {"probability": graph(torch.from_numpy(field))[0].numpy()}

    whole = in_fields(read, tell=lambda _: None)(hounsfield, tiling, RECIPE)
    cut = in_batches(lambda patches: graph(torch.from_numpy(patches))[0].numpy(), 64)(hounsfield, tiling, RECIPE)
    assert len(fields) == 2
    assert whole.shape == (len(tiling.chosen), CLASSES)
    assert len(whole) > 50
    np.testing.assert_allclose(whole, cut, atol=1e-5)
