# SPDX-License-Identifier: Apache-2.0
"""The explanation of a VGG at any of its layers: the way back through the body, written out layer by layer.

A convolution goes back as a transposed convolution with the same weights, a ReLU as a mask, a pooling as an unpooling
to where the maximum was. The graph is a second one beside the classifier's, because it does three times its work.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.explanation.class_maps import grad_cam, hires_cam
from models.explanation.head_gradient import head_gradient, spread
from models.networks.classifier import Classifier
from models.networks.vgg import folded

OUTPUT_NAMES = ("logits", "gradcam", "hirescam")


class VggLayerExplained(nn.Module):
    """A VGG, with either head, explained after one of its convolutions: images to (logits, gradcam, hirescam).

    The maps (N, K, h, w) have the resolution of that layer. For evaluation only: batch normalisation is folded into
    the convolutions.

    Parameters
    ----------
    convolution
        Which one, counted from 1; its activation after the ReLU is explained. 0 explains the body's input itself, where
        hirescam is input times gradient.
    classes
        Which classes, all if None: each costs a way back of its own.
    """

    def __init__(self, classifier: Classifier, convolution: int, *, classes: Sequence[int] | None = None) -> None:
        super().__init__()
        if classifier.family != "vgg":
            raise TypeError(f"only a VGG can be explained at any layer; this is a {classifier.family}")
        self.front_end, self.head, self.classes = classifier.front_end, classifier.head, classes
        self.body = folded(classifier.body)
        self.until = _after(self.body, convolution)
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (logits, gradcam, hirescam)."""
        activation = self.front_end(image)
        layers = list(self.body)
        for layer in layers[: self.until]:
            activation = layer(activation)
        entered = [activation]
        for layer in layers[self.until :]:
            entered.append(layer(entered[-1]))
        logits, gradient, _ = head_gradient(self.head, entered.pop(), classes=self.classes)
        for layer, value in zip(reversed(layers[self.until :]), reversed(entered), strict=True):
            gradient = _back(layer, gradient, value)
        return logits, grad_cam(activation, gradient), hires_cam(activation, gradient)


def _after(body: nn.Sequential, convolution: int) -> int:
    """Return the index of the layer after the ReLU of the convolution with this number."""
    ends = [0, *(index + 1 for index, layer in enumerate(body) if isinstance(layer, nn.ReLU))]
    if not 0 <= convolution < len(ends):
        raise ValueError(f"convolution {convolution} does not exist; there are 1 to {len(ends) - 1}, 0 is the input")
    return ends[convolution]


def _back(layer: nn.Module, gradient: Tensor, entered: Tensor) -> Tensor:
    """Return the gradient (N, K, C, h, w) before a layer from the one behind it; `entered` is what went into it."""
    if isinstance(layer, nn.ReLU):
        return gradient * (entered > 0).to(gradient.dtype)[:, None]
    if isinstance(layer, nn.MaxPool2d):
        first: Tensor = _FirstMaxima.apply(entered)  # type: ignore[no-untyped-call]
        return _upsampled(gradient, entered) * first[:, None]
    if isinstance(layer, nn.Conv2d):
        each = gradient.flatten(0, 1)
        back = nn.functional.conv_transpose2d(each, layer.weight, padding=1)
        return back.reshape(-1, gradient.shape[1], *back.shape[1:])
    raise TypeError(f"a layer of type {type(layer).__name__} has no way back; a VGG has Conv2d, ReLU and MaxPool2d")


def _upsampled(gradient: Tensor, entered: Tensor) -> Tensor:
    """Repeat each value over its 2 x 2 window; a last row or column that no window holds gets its neighbour's."""
    doubled = spread(gradient, 2, 2)
    wide = torch.cat([doubled, doubled[..., -1:]], dim=4)
    high = torch.cat([wide, wide[..., -1:, :]], dim=3)
    return high[..., : entered.shape[2], : entered.shape[3]]


class _FirstMaxima(torch.autograd.Function):
    """1 where a 2 x 2 pooling took its value, else 0; of equal values the first one, as torch and ONNX both choose.

    A comparison with the maximum would mark all of them, and flat background is full of equal values. Written as a
    function of its own because torch's exporter has no MaxUnpool.
    """

    @staticmethod
    def forward(ctx: Any, entered: Tensor) -> Tensor:  # noqa: ARG004
        _, where = nn.functional.max_pool2d(entered, kernel_size=2, stride=2, return_indices=True)
        return torch.zeros_like(entered).flatten(2).scatter(2, where.flatten(2), 1.0).view_as(entered)

    @staticmethod
    def symbolic(g: Any, entered: Any) -> Any:
        """Write MaxPool and MaxUnpool; ONNX numbers the maxima over the whole tensor, both operators alike."""
        pooled, where = g.op("MaxPool", entered, kernel_shape_i=[2, 2], strides_i=[2, 2], outputs=2)
        one = torch.ones(1, dtype=torch.float32)
        ones = g.op("ConstantOfShape", g.op("Shape", pooled), value_t=one)
        return g.op("MaxUnpool", ones, where, g.op("Shape", entered), kernel_shape_i=[2, 2], strides_i=[2, 2])
