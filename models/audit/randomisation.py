# SPDX-License-Identifier: Apache-2.0
"""Cascading weight randomisation (Adebayo 2018): a map that does not change with the weights explains nothing.

Layers are replaced from the output to the input, each together with all behind it, by noise with the same mean and
standard deviation, in the ONNX file itself: what is audited is what runs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from models.audit.checks import Check, not_made, similarity
from models.audit.subject import Explainer, Images, Subject, Targets

MOST_SIMILAR = 0.5
"""Mean similarity that may be left when every layer is noise."""
_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_STAGES = 8
_NAME = "weight randomisation"


def check_randomisation(model: bytes, subject: Subject, *, images: Images, targets: Targets, seed: int = 0) -> Check:
    """Compare the maps with those of ever more randomised networks; the similarity must fall."""
    original = Explainer(model, subject)(images, targets).maps
    names = trained_layers(model)
    if not names:
        return not_made(_NAME, "the graph has no layers with weights")
    curve = [(0, 1.0)]
    for count in _stages(len(names)):
        noisy = Explainer(randomised(model, names[-count:], seed=seed), subject)(images, targets).maps
        curve.append((count, float(similarity(original, noisy).mean())))
    last = curve[-1][1]
    return Check(
        name=_NAME,
        passed=last <= MOST_SIMILAR,
        sentence=f"mean SSIM with the true map falls from 1 to {last:.2f} when all {len(names)} layers are noise, and "
        f"is {curve[1][1]:.2f} when the last {curve[1][0]} are; at most {MOST_SIMILAR} is allowed at the end",
        values={"layers": len(names), "ssim_by_randomised_layers": [[count, round(ssim, 4)] for count, ssim in curve]},
    )


def trained_layers(model: bytes) -> tuple[str, ...]:
    """Return the names of weight tensors (two axes or more) that layers use, from the input to the output."""
    graph = onnx.load_from_string(model).graph
    weights = {tensor.name for tensor in graph.initializer if len(tensor.dims) > 1}
    return tuple(
        dict.fromkeys(name for node in graph.node if node.op_type in _LAYERS for name in node.input if name in weights)
    )


def randomised(model: bytes, names: Sequence[str], *, seed: int) -> bytes:
    """Return the model with these weights replaced by Gaussian noise of the same mean and standard deviation."""
    changed = onnx.load_from_string(model)
    rng = np.random.default_rng(seed)
    for tensor in changed.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(_noise(tensor, rng))
    data: bytes = changed.SerializeToString()
    return data


def _noise(tensor: Any, rng: np.random.Generator) -> Any:
    values = numpy_helper.to_array(tensor)
    noise = rng.normal(values.mean(), values.std(), values.shape).astype(values.dtype)
    return numpy_helper.from_array(noise, tensor.name)


def _stages(layers: int) -> tuple[int, ...]:
    """Return how many layers are noise at each stage: the last one, ... all of them."""
    return tuple(dict.fromkeys(int(count) for count in np.linspace(1, layers, min(layers, _STAGES)).round()))
