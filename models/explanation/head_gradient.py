# SPDX-License-Identifier: Apache-2.0
"""The gradient of every class's logit with respect to the features that the head reads, without autograd.

Exporters refuse autograd inside a graph. A head is short, though: its gradient is a product of its own weights, with a
0 wherever a ReLU was closed.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from models.networks.cam import CamHead
from models.networks.vgg import DenseHead


def head_gradient(
    head: CamHead | DenseHead, features: Tensor, *, classes: Sequence[int] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (logits, gradient, offset) for features (N, D, h, w): (N, K), (N, K, D, h, w) and (N, K).

    `(gradient * features).sum(D, h, w) + offset == logits`, exactly: both heads are linear wherever no ReLU switches.

    Parameters
    ----------
    classes
        Which classes to explain, all if None; K is their number.
    """
    rows = slice(None) if classes is None else torch.tensor(list(classes))
    if isinstance(head, CamHead):
        return _average_head(head, features, rows=rows)
    return _dense_head(head, features, rows=rows)


def _average_head(head: CamHead, features: Tensor, *, rows: slice | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    logits, _ = head(features)
    height, width = features.shape[2:]
    weight = head.classify.weight[rows][None] / (height * width)
    offset = head.bias[rows].expand(features.shape[0], -1)
    return logits[:, rows], weight.expand(features.shape[0], -1, -1, height, width), offset


def _dense_head(head: DenseHead, features: Tensor, *, rows: slice | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    first, second, third = (cast("nn.Linear", head[index]) for index in (0, 3, 6))
    before_first = first(head.pool(features).flatten(1))
    before_second = second(before_first.relu())
    logits = nn.functional.linear(before_second.relu(), third.weight[rows], third.bias[rows])
    open_first = (before_first > 0).to(features.dtype)[:, None]
    open_second = (before_second > 0).to(features.dtype)[:, None]
    to_second = third.weight[rows][None] * open_second
    to_first = torch.matmul(to_second, second.weight) * open_first
    pooled = torch.matmul(to_first, first.weight)
    from_biases = torch.matmul(to_first, first.bias[:, None]) + torch.matmul(to_second, second.bias[:, None])
    offset = from_biases[:, :, 0] + third.bias[rows]
    return logits, _unpooled(head, pooled, features), offset


def _unpooled(head: DenseHead, pooled: Tensor, features: Tensor) -> Tensor:
    """Spread the gradient of each cell of the grid evenly over the features that were averaged into it."""
    rows, columns = head.cell
    gradient = pooled.reshape(pooled.shape[0], pooled.shape[1], features.shape[1], *head.grid)
    return gradient if head.cell == (1, 1) else spread(gradient, rows, columns) / (rows * columns)


def spread(cells: Tensor, rows: int, columns: int) -> Tensor:
    """Repeat each value of (..., h, w) over a block: (..., h * rows, w * columns).

    Stacked and flattened, because the exporter turns `repeat_interleave` into a loop.
    """
    wide = torch.stack([cells] * columns, dim=-1).flatten(-2)
    return torch.stack([wide] * rows, dim=-2).flatten(-3, -2)
