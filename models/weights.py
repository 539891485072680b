# SPDX-License-Identifier: Apache-2.0
"""Starts a classifier from ImageNet weights in a file that the user gives: torchvision's layout, nothing downloaded.

The file is read as data (`weights_only=True`, or safetensors), and every tensor must find its place: what is missing,
left over or of another shape is named, and nothing is loaded.
"""

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.networks.cam import CamHead
from models.networks.classifier import Classifier, Family
from models.networks.vgg import DenseHead

Adaptation = Literal["sum", "mean"]
RGB = 3
_SHOWN = 6
_DENSE_LAYER = re.compile(r"(denselayer\d+)\.(norm|conv)\.?([12])\.")
"""torchvision's DenseNet, in its code's and in its files' spelling: denselayer1.norm1, denselayer1.norm.1."""
_FIRST_LAYER: Mapping[Family, str] = {
    "vgg": "body.0.weight",
    "resnet": "body.conv1.weight",
    "densenet": "body.conv0.weight",
}


class WeightsError(ValueError):
    """A file of weights that does not fit the network; the message names each tensor that does not."""


def load_imagenet(
    network: Classifier, path: Path, *, adaptation: Adaptation = "sum", keep_head: bool = False
) -> tuple[str, ...]:
    """Replace the network's weights by those of the file; return the names of the parameters that stay random.

    Parameters
    ----------
    path
        A torch file, or .safetensors, in torchvision's layout of the network's family.
    adaptation
        What the first layer does when the network has C channels instead of RGB. Each channel gets the sum of the
        three RGB kernels divided by C ("sum": C equal channels answer exactly as grey RGB would), or their mean
        ("mean": each channel weighs as one of RGB did, C equal channels answer C / 3 as strongly).
    keep_head
        Load the last layer too; its number of classes must be the file's. Otherwise the last layer stays random, and
        of a `CamHead` nothing is loaded. The hidden layers of VGG's dense head are always loaded.

    Raises
    ------
    WeightsError
        The file cannot be read as tensors, or a tensor is missing, left over or of another shape.
    """
    found = {_RENAME[network.family](name, network): tensor for name, tensor in _read(path).items()}
    found = {name: tensor for name, tensor in found.items() if not name.endswith("num_batches_tracked")}
    wanted = {name: value for name, value in network.state_dict().items() if _comes_from_file(name)}
    fresh = () if keep_head else _head_names(network)
    ignored = {*fresh, *(name for name in found if _another_head(name, network, keep_head=keep_head))}
    found = {name: _reshaped(tensor, wanted.get(name)) for name, tensor in found.items() if name not in ignored}
    first = _FIRST_LAYER[network.family]
    if first in found and first in wanted:
        found[first] = adapt_channels(found[first], wanted[first].shape[1], adaptation=adaptation)
    _check(found, {name: value for name, value in wanted.items() if name not in fresh}, path=path)
    network.load_state_dict(found, strict=False)
    return fresh


def adapt_channels(kernel: Tensor, channels: int, *, adaptation: Adaptation = "sum") -> Tensor:
    """Return an RGB kernel (D, 3, k, k) as one for `channels` channels; see `load_imagenet`. RGB stays as it is."""
    if kernel.ndim != 4 or kernel.shape[1] != RGB or channels == RGB:
        return kernel
    whole = kernel.sum(dim=1, keepdim=True) / (channels if adaptation == "sum" else RGB)
    return whole.repeat(1, channels, 1, 1)


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file; give a file of weights, nothing is downloaded") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(f"{path}: holds no plain tensors ({reason}); save a state dict of tensors alone") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: is not a state dict (names with tensors); save `network.state_dict()`")
    return state


def _rename_vgg(name: str, network: Classifier) -> str:
    name = re.sub(r"^features\.", "body.", name)
    return re.sub(r"^classifier\.", "head." if isinstance(network.head, DenseHead) else "dense.", name)


def _rename_resnet(name: str, network: Classifier) -> str:  # noqa: ARG001
    return _cam_name(name, "fc") or f"body.{name}"


def _rename_densenet(name: str, network: Classifier) -> str:  # noqa: ARG001
    name = _DENSE_LAYER.sub(r"\1.layers.\2\3.", name)
    return _cam_name(name, "classifier") or re.sub(r"^features\.", "body.", name)


def _cam_name(name: str, layer: str) -> str | None:
    return {f"{layer}.weight": "head.classify.weight", f"{layer}.bias": "head.bias"}.get(name)


_RENAME: Mapping[Family, Callable[[str, Classifier], str]] = {
    "vgg": _rename_vgg,
    "resnet": _rename_resnet,
    "densenet": _rename_densenet,
}


def _comes_from_file(name: str) -> bool:
    return name.startswith(("body.", "head.")) and not name.endswith("num_batches_tracked")


def _head_names(network: Classifier) -> tuple[str, ...]:
    """Return the parameters of the last layer."""
    last = "head." if isinstance(network.head, CamHead) else f"head.{len(network.head) - 1}."
    return tuple(name for name in network.state_dict() if name.startswith(last))


def _another_head(name: str, network: Classifier, *, keep_head: bool) -> bool:
    """Whether a tensor is of VGG's dense layers, for a network that averages instead."""
    return name.startswith("dense.") and isinstance(network.head, CamHead) and not keep_head


def _reshaped(tensor: Tensor, wanted: Tensor | None) -> Tensor:
    """Write a linear layer (K, D) as the 1x1 convolution (K, D, 1, 1) that a `CamHead` has."""
    if wanted is not None and wanted.ndim == 4 and tensor.ndim == 2:
        return tensor[:, :, None, None]
    return tensor


def _check(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, path: Path) -> None:
    common = found.keys() & wanted.keys()
    problems = {
        "missing": [name for name in wanted if name not in found],
        "left over": [name for name in found if name not in wanted],
        "of another shape": [
            f"{name} {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
            for name in wanted
            if name in common and found[name].shape != wanted[name].shape
        ],
    }
    told = [f"{len(names)} {what}: {_some(names)}" for what, names in problems.items() if names]
    if told:
        raise WeightsError(f"{path} does not fit the network: {'; '.join(told)}; nothing was loaded")


def _some(names: list[str]) -> str:
    hidden = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {hidden} more" if hidden > 0 else "")
