# SPDX-License-Identifier: Apache-2.0
"""The networks behind the graphs, in PyTorch: what the same work costs where a package was made."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from models.export import export_onnx
from models.networks.classifier import build_classifier
from models.networks.distortion_detector import DistortionDetector, DistortionDetectorGraph
from models.networks.lung_unet import LungUNet
from models.networks.mass_detector import MassDetector, MassDetectorGraph
from models.networks.patch_resnet import PatchResNet
from models.networks.zone_profusion import ZoneProfusion
from service.inference.manifest import Graph, Tensor

COMMITTED: Mapping[tuple[str, str], Callable[[], nn.Module]] = {
    ("pneumoconiosis-demo", "lungseg"): LungUNet,
    ("pneumoconiosis-demo", "zones"): ZoneProfusion,
    ("diffuse-lung-demo", "patterns"): lambda: PatchResNet(12),
    ("diffuse-lung-demo", "lungs"): lambda: LungUNet(channels=1),
    ("mammography-demo", "detector"): lambda: MassDetectorGraph(MassDetector()),
    ("mammography-demo", "distortions"): lambda: DistortionDetectorGraph(DistortionDetector()),
}
"""The network of each graph of the committed packages, by package and graph."""
FULL_SIZE = ("vgg16", "vgg19", "resnet50", "densenet121")
CLASSES, SIDE = 12, 224


def eager(network: nn.Module, inputs: Mapping[str, NDArray[Any]]) -> Callable[[], object]:
    """Return a call of the network on the inputs, on all processors; weights are random, which costs the same."""
    torch.set_num_threads(os.cpu_count() or 1)
    network = network.eval()
    tensors = [torch.from_numpy(array) for array in inputs.values()]

    def run() -> object:
        with torch.inference_mode():
            return network(*tensors)

    run()
    return run


def full_size(name: str, folder: Path) -> tuple[nn.Module, bytes, Graph]:
    """Return a network of the published size for 12 classes, its ONNX file and the contract of that file."""
    torch.manual_seed(1)
    network = build_classifier(name, classes=CLASSES).eval()
    image = torch.rand(1, 1, SIDE, SIDE).numpy()
    export = export_onnx(
        network, folder / f"{name}.onnx", examples=[{"image": image}], output_names=("logits",), tolerance=1e-3
    )
    contract = Graph(
        file=export.path.name,
        inputs={"image": Tensor(dtype="float32", shape=("batch", 1, SIDE, SIDE), value_range=(0.0, 1.0))},
        outputs={"logits": Tensor(dtype="float32", shape=("batch", CLASSES))},
    )
    return network, export.path.read_bytes(), contract
