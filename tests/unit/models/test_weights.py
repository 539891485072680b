# SPDX-License-Identifier: Apache-2.0
"""ImageNet weights find their place, or the message says what does not fit."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

import torchvision_layout as layout  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from models.networks.classifier import build_classifier  # noqa: E402
from models.weights import WeightsError, adapt_channels, load_imagenet  # noqa: E402

STATES: dict[str, Any] = {"resnet50": layout.resnet50_state, "densenet121": layout.densenet121_state}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(5)


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A state dict in the layout of the published ResNet50, and the file that it was saved to."""
    torch.manual_seed(5)
    state = layout.resnet50_state()
    return state, _saved(state, tmp_path_factory.mktemp("resnet50"))


def _saved(state: Any, folder: Path) -> Path:
    path = folder / "weights.pth"
    torch.save(state, path)
    return path


@pytest.mark.parametrize("name", STATES)
@torch.no_grad()
def test_loaded_network_computes_what_torchvision_would(name: str, tmp_path: Path) -> None:
    state = STATES[name]()
    network = build_classifier(name, 1000, channels=3)
    assert load_imagenet(network, _saved(state, tmp_path), keep_head=True) == ()
    image = torch.randn(1, 3, 96, 64)
    expected = layout.LOGITS[name](state, image)
    torch.testing.assert_close(network.eval()(image), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
@torch.no_grad()
def test_loaded_vgg_has_torchvisions_features(name: str, tmp_path: Path) -> None:
    state = layout.vgg_state(name, dense=(1, 1, 1, 1))
    network = build_classifier(name, 12, channels=3)
    assert set(load_imagenet(network, _saved(state, tmp_path))) == {"head.classify.weight", "head.bias"}
    image = torch.randn(1, 3, 64, 64)
    expected = layout.vgg_features(name, state, image)
    torch.testing.assert_close(network.eval().features(image), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.full_size
@torch.no_grad()
def test_loaded_full_vgg16_computes_what_torchvision_would(tmp_path: Path) -> None:
    state = layout.vgg_state("vgg16", dense=(25088, 4096, 4096, 1000))
    network = build_classifier("vgg16", 1000, channels=3, dense_head=True)
    assert load_imagenet(network, _saved(state, tmp_path), keep_head=True) == ()
    image = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(network.eval()(image), layout.vgg_logits("vgg16", state, image), atol=1e-3, rtol=1e-4)


def test_published_spelling_of_densenet_is_read(tmp_path: Path) -> None:
    network = build_classifier("densenet121", 3, channels=3)
    state = layout.densenet121_state(dot=".")
    load_imagenet(network, _saved(state, tmp_path))
    layer = network.body.denseblock4.denselayer16.layers
    assert torch.equal(layer.conv2.weight, state["features.denseblock4.denselayer16.conv.2.weight"])


def test_safetensors_are_read(resnet50: Any, tmp_path: Path) -> None:
    state, _ = resnet50
    save_file(state, tmp_path / "weights.safetensors")
    network = build_classifier("resnet50", 2, channels=3)
    load_imagenet(network, tmp_path / "weights.safetensors")
    assert torch.equal(network.body.conv1.weight, state["conv1.weight"])


@pytest.mark.parametrize("channels", [1, 2, 4])
@torch.no_grad()
def test_equal_channels_answer_as_grey_rgb_does(channels: int) -> None:
    kernel = torch.randn(8, 3, 7, 7)
    grey = torch.rand(1, 1, 16, 16)
    expected = torch.nn.functional.conv2d(grey.expand(-1, 3, -1, -1), kernel)
    for adaptation, share in (("sum", 1.0), ("mean", channels / 3)):
        adapted = adapt_channels(kernel, channels, adaptation=adaptation)  # type: ignore[arg-type]
        found = torch.nn.functional.conv2d(grey.expand(-1, channels, -1, -1), adapted)
        torch.testing.assert_close(found, share * expected, atol=1e-5, rtol=1e-5)


def test_first_layer_is_adapted_to_the_networks_channels(resnet50: Any) -> None:
    state, path = resnet50
    network = build_classifier("resnet50", 2, channels=4)
    load_imagenet(network, path, adaptation="mean")
    expected = state["conv1.weight"].mean(dim=1, keepdim=True).expand(-1, 4, -1, -1)
    torch.testing.assert_close(network.body.conv1.weight.detach(), expected)


def test_what_does_not_fit_is_named_and_nothing_is_loaded(resnet50: Any, tmp_path: Path) -> None:
    state = dict(resnet50[0])
    del state["layer3.5.bn2.running_var"]
    state["layer1.0.conv2.weight"] = torch.zeros(64, 32, 3, 3)
    state["extra.weight"] = torch.zeros(1)
    network = build_classifier("resnet50", 2, channels=3)
    before = network.body.conv1.weight.detach().clone()
    with pytest.raises(WeightsError) as error:
        load_imagenet(network, _saved(state, tmp_path))
    told = str(error.value)
    assert "1 missing: body.layer3.5.bn2.running_var" in told
    assert "1 left over: body.extra.weight" in told
    assert "body.layer1.0.conv2.weight (64, 32, 3, 3) instead of (64, 64, 3, 3)" in told
    assert torch.equal(network.body.conv1.weight, before)


def test_another_number_of_classes_is_refused_when_the_head_is_kept(resnet50: Any) -> None:
    network = build_classifier("resnet50", 12, channels=3)
    with pytest.raises(
        WeightsError, match=r"head\.classify\.weight \(1000, 2048, 1, 1\) instead of \(12, 2048, 1, 1\)"
    ):
        load_imagenet(network, resnet50[1], keep_head=True)


def test_a_small_member_is_not_taken_for_the_full_one(resnet50: Any) -> None:
    with pytest.raises(WeightsError, match=r"left over: .* and .* more"):
        load_imagenet(build_classifier("resnet50-small", 12), resnet50[1])


class _Malicious:
    def __reduce__(self) -> Any:
        return print, ("code ran",)


def test_code_in_a_file_never_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = build_classifier("resnet50-small", 2)
    with pytest.raises(WeightsError, match="holds no plain tensors"):
        load_imagenet(network, _saved(_Malicious(), tmp_path))
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_damaged_and_missing_files_are_told_apart(name: str, tmp_path: Path) -> None:
    network = build_classifier("resnet50-small", 2)
    with pytest.raises(WeightsError, match=r"there is no such file; .* nothing is downloaded"):
        load_imagenet(network, tmp_path / name)
    (tmp_path / name).write_bytes(b"not weights at all, but more than eight bytes")
    with pytest.raises(WeightsError, match="holds no plain tensors"):
        load_imagenet(network, tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(WeightsError, match="holds no plain tensors"):
        load_imagenet(network, tmp_path / name)


def test_a_list_is_not_a_state_dict(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is not a state dict"):
        load_imagenet(build_classifier("resnet50-small", 2), _saved([torch.zeros(1)], tmp_path))
