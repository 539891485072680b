# SPDX-License-Identifier: Apache-2.0
"""The fusion graph: imputation, indicators, one-hot lists, scales, weights and head, all inside one ONNX file."""

import numpy as np
import torch
from torch import Tensor, nn

from models.fusion.preparation import MISSING_CODE, Preparation
from models.fusion.selection import SelectionNetwork

INPUT = "values"
OUTPUTS = ("logit", "score", "weighted", "importance")


class FusionGraph(nn.Module):
    """Maps values (N, columns), NaN where missing, to (logit, score, weighted, importance).

    Columns of words hold the place of the word in the contract's list, -1 for a word that is not in it. `logit` and
    `score` are (N,), `weighted` (N, J) the inputs times their weights: without a hidden layer they and the bias add up
    to the logit. `importance` (N, J) is |weight|, the same in each row.
    """

    places: Tensor
    fill: Tensor
    codes: Tensor
    kinds: Tensor
    centres: Tensor
    scales: Tensor

    def __init__(self, preparation: Preparation, network: SelectionNetwork) -> None:
        super().__init__()
        self.network = network.float()
        columns = {name: place for place, name in enumerate(preparation.columns)}
        inputs = preparation.inputs
        fill = [preparation.means.get(name, MISSING_CODE) for name in preparation.columns]
        buffers = {
            "places": torch.tensor([columns[each.column] for each in inputs]),
            "fill": torch.tensor(fill, dtype=torch.float32),
            "codes": torch.tensor([each.code for each in inputs], dtype=torch.float32),
            "kinds": torch.tensor([("value", "missing", "category").index(each.kind) for each in inputs]),
            "centres": torch.from_numpy(preparation.centres.astype(np.float32)),
            "scales": torch.from_numpy(preparation.scales.astype(np.float32)),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (logit, score, weighted, importance)."""
        absent = torch.isnan(values)
        known = torch.where(absent, self.fill, values)[:, self.places]
        gone = absent[:, self.places].to(values.dtype)
        same = (known == self.codes).to(values.dtype)
        raw = torch.where(self.kinds == 0, known, torch.where(self.kinds == 1, gone, same))
        weighted = self.network.selected((raw - self.centres) / self.scales)
        logit = self.network.head(weighted)
        importance = self.network.weight.abs().expand_as(weighted)
        return logit, logit.sigmoid(), weighted, importance
