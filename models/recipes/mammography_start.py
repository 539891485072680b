# SPDX-License-Identifier: Apache-2.0
"""First weights of a detector from another one that is in a package: transfer of what it has learnt.

`python -m models.recipes.mammography_start PACKAGE OUT.npz` reads the weights of a package's detector of one member. An
exported graph has its batch normalisations folded into the convolutions; they are unfolded here on the views to be
fitted, so that the detector gives what the graph gave, and its normalisations have the statistics of those views.
"""

import argparse
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from models.networks.mass_detector import MassDetector
from models.weights import WeightsError

Weights = Mapping[str, NDArray[np.float32]]
"""Weight and bias of each convolution by its path in the network, for example `stem.0.0.weight`."""
_MAP = ".cam.classify.weight"
"""Ends the name of the one layer of each member that keeps its name in an exported graph."""


class StartError(WeightsError):
    """Weights that cannot be read or do not fit the network; the message names the file or the layer."""


def folded_weights(model: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the weights of all convolutions of an exported `MassDetectorGraph` of one member, and the map's constant.

    Nothing is found in a graph of several members, or of another network.
    """
    graph = onnx.load_from_string(model).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    members = [name.removesuffix(_MAP) for name in values if name.endswith(_MAP)]
    if len(members) != 1:
        return {}
    found = {"cam.bias": np.asarray(values[f"{members[0]}.cam.bias"], dtype=np.float32)}
    for node in graph.node:
        if node.op_type == "Conv":
            path = _path(node.name.removeprefix("/detector").split("/")[1:-1])
            for part, name in zip(("weight", "bias"), node.input[1:], strict=False):
                found[f"{path}.{part}"] = np.asarray(values[name], dtype=np.float32)
    return found


def _path(scopes: Sequence[str]) -> str:
    """Return the path of a module from the scopes of its calls: a sequence names itself again with each index."""
    path, local = "", scopes[0]
    for scope in scopes[1:]:
        if not scope.startswith(f"{local}."):
            path += f"{local}."
        local = scope
    return path + local


def start_from(detector: MassDetector, weights: Weights, images: Iterable[Tensor]) -> None:
    """Give a detector the weights; classes that they do not have keep their own first ones.

    Parameters
    ----------
    images
        Views (N, 2, H, W) that the normalisations take their statistics from; the result does not depend on them in
        evaluation mode. Without any the normalisations change nothing: for a detector that is not fitted further, whose
        weights are then exported as they were.

    Raises
    ------
    StartError
        A layer is missing, or of another shape: the network has another width.
    """
    norms = {}
    with torch.no_grad():
        for path, convolution, norm in _convolutions(detector):
            _fill(convolution.weight, weights, f"{path}.weight")
            if norm is not None:
                norms[path] = norm
                bias = torch.from_numpy(_array(weights, f"{path}.bias", norm.bias.shape))
                _identity(norm, bias)
            elif convolution.bias is not None:
                _fill(convolution.bias, weights, f"{path}.bias")
        _fill(detector.cam.bias, weights, "cam.bias")
        _normalise(detector, list(norms.values()), images)


def _convolutions(detector: MassDetector) -> Iterator[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """Yield each convolution with its path and the normalisation that follows it, if one does."""
    modules = list(detector.named_modules())
    for index, (path, module) in enumerate(modules):
        if isinstance(module, nn.Conv2d):
            follower = modules[index + 1][1] if index + 1 < len(modules) else None
            yield path, module, follower if isinstance(follower, nn.BatchNorm2d) else None


def _array(weights: Weights, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    if name not in weights:
        raise StartError(f"there are no weights for {name}; make them anew from a package of this kind")
    found = np.array(weights[name], dtype=np.float32)
    if found.shape != tuple(shape):
        raise StartError(f"{name} has the shape {found.shape}, the network's is {tuple(shape)}; give it the same width")
    return found


def _fill(target: Tensor, weights: Weights, name: str) -> None:
    """Copy what there is; a layer with an output for each class keeps the rest."""
    rows = min(len(target), len(weights.get(name, ()))) if name.startswith("heat.1.") else len(target)
    target[:rows] = torch.from_numpy(_array(weights, name, (rows, *target.shape[1:])))


def _identity(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    for part, value in ((norm.weight, 1.0), (norm.running_mean, 0.0), (norm.running_var, 1.0 - norm.eps)):
        assert part is not None  # noqa: S101 - convolution() tracks statistics
        part.fill_(value)
    norm.bias.copy_(bias)


def _normalise(detector: MassDetector, norms: Sequence[nn.BatchNorm2d], images: Iterable[Tensor]) -> None:
    """Take the statistics of what reaches the normalisations, and make up for them in scale and shift."""
    sums: dict[int, list[Any]] = {index: [0, 0.0, 0.0] for index in range(len(norms))}

    def keep(index: int) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].double()
            sums[index][0] += values.numel() // values.shape[1]
            sums[index][1] = sums[index][1] + values.sum(dim=(0, 2, 3))
            sums[index][2] = sums[index][2] + (values**2).sum(dim=(0, 2, 3))

        return hook

    handles = [norm.register_forward_pre_hook(keep(index)) for index, norm in enumerate(norms)]
    detector.eval()
    for image in images:
        detector(image)
    for handle in handles:
        handle.remove()
    for index, norm in enumerate(norms):
        count, total, squares = sums[index]
        if not count:
            continue
        mean = total / count
        variance = squares / count - mean**2
        assert norm.running_mean is not None  # noqa: S101 - convolution() tracks statistics
        assert norm.running_var is not None  # noqa: S101 - as above
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean.to(norm.bias.dtype))


def read_start(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read weights that `main` wrote.

    Raises
    ------
    StartError
        There is no such file, or `main` did not write it.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StartError(
            f"network.start: {path} cannot be read ({type(error).__name__}); write it with "
            "python -m models.recipes.mammography_start PACKAGE OUT.npz"
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the weights of a package's detector."""
    parser = argparse.ArgumentParser(prog="python -m models.recipes.mammography_start", description=__doc__)
    parser.add_argument("package", type=Path, help="folder of a mammography package")
    parser.add_argument("out", type=Path, help="file to be written, .npz")
    options = parser.parse_args(arguments)
    weights = folded_weights((options.package / "graphs" / "detector.onnx").read_bytes())
    if not weights:
        sys.stderr.write(f"mammography_start: {options.package} has no detector of one member; give another package\n")
        return 2
    np.savez_compressed(options.out, **weights)  # type: ignore[arg-type]  # numpy's stub takes arrays by name for flags
    sys.stdout.write(f"{options.out}: {len(weights)} arrays\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
