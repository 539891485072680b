# SPDX-License-Identifier: Apache-2.0
"""Exports the two networks of a pneumoconiosis package, and says what their tensors mean."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.calibration.graph import WithDistances
from models.export import Export, export_onnx
from models.networks.lung_unet import LungUNet
from models.networks.zone_ensemble import ENSEMBLE_OUTPUTS, ZoneEnsemble
from models.networks.zone_profusion import OUTPUT_NAMES
from models.packaging import GraphSource
from models.recipes.pneumoconiosis_data import segmentation_set, zone_set

GOLDEN = 6
"""Seed of the phantom behind the golden tensors."""


_VOTED_ON = ["0/1 or less", "1/0 or more"]
_VOTES: Mapping[str, Mapping[str, Any]] = {
    "vote": {"channels": _VOTED_ON, "description": "share of the members' weights that stand for each"},
    "probability": {"channels": _VOTED_ON, "description": "weighted mean of the members' probabilities"},
    "margin": {"description": "distance between both probabilities"},
    "divergence": {"description": "Jensen-Shannon divergence of the members' probabilities, nats"},
}


def export_graphs(lungs: LungUNet, zones: WithDistances, *, folder: Path) -> Mapping[str, GraphSource]:
    """Export both into the folder, each compared with torch on a phantom that becomes its golden pair."""
    films, _ = segmentation_set(GOLDEN, count=1)
    names = ENSEMBLE_OUTPUTS if isinstance(zones.network, ZoneEnsemble) else OUTPUT_NAMES
    crops = zone_set(GOLDEN, bodies=1, exposures=1, shifted=None).tensors.float().numpy()
    lungseg = export_onnx(
        lungs,
        folder / "lungseg.onnx",
        examples=[{"film": film[None]} for film in films.numpy()],
        output_names=("masks",),
        tolerance=1e-4,
    )
    reader = export_onnx(
        zones,
        folder / "zones.onnx",
        examples=[{"zones": part} for part in (crops[:1], crops[1:2])],
        output_names=zones.output_names(names),
        tolerance=1e-4,
    )
    return {"lungseg": _lung_source(lungseg), "zones": _zone_source(reader, (*names, *zones.output_names(())))}


def _lung_source(export: Export) -> GraphSource:
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-3,
        tensors={
            "film": {"value_range": [0.0, 1.0], "description": "whole film, letter-boxed, percentiles 0.5 and 99.5"},
            "masks": {"channels": ["right lung", "left lung", "heart"], "value_range": [0.0, 1.0]},
        },
    )


def _zone_source(export: Export, outputs: Sequence[str]) -> GraphSource:
    distances = (name for name in outputs if name not in ENSEMBLE_OUTPUTS)
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-2,
        tensors={
            "zones": {"channels": ["grey inside the zone", "zone mask"], "value_range": [0.0, 1.0]},
            "profusion_logits": {"description": "logit k: profusion is above step k of the ILO 12-point scale"},
            "shape_logits": {"channels": ["p", "q", "r", "s", "t", "u"]},
            "cam": {"description": "averages to profusion_logits[:, 2], that is, 1/0 or more"},
            "feature": {"description": "mean feature inside the zone"},
            **{name: _VOTES[name] for name in outputs if name in _VOTES},
            **{
                name: {"description": "distance from the zones of training; judged as a film's mean"}
                for name in distances
            },
        },
    )
