# SPDX-License-Identifier: Apache-2.0
"""What each demonstration package declares and the node then checks: budget, complete maps, refusal of noise."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from models.packaging import Arrays, GraphSource

_BUDGET = {"seconds": 60.0, "memory_bytes": 1_500_000_000}
"""Some twenty and ten times what the largest golden study took (2.6 s of CPU time, 160 MB): slow machines pass."""
_MAPS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "pneumoconiosis": {"graph": "zones", "map": "cam", "score": "profusion_logits", "index": 2},
        "diffuse_lung": {"graph": "patterns", "map": "cam", "score": "logits"},
        "mammography": {"graph": "detector", "map": "raw_cam", "score": "image_logit"},
    }
)
"""By pipeline: the map that is its score, spread out."""


def declarations(pipeline: str, graphs: Mapping[str, GraphSource]) -> dict[str, Any]:
    """Return the keys of the manifest for a pipeline; the maps' constants are those of the first golden sample."""
    entry = _MAPS[pipeline]
    outputs = graphs[entry["graph"]].golden[0][1]
    return {
        "refuses_noise": True,
        "decompositions": [{**entry, "constant": _constant(outputs, entry)}],
        "budget": dict(_BUDGET),
    }


def _constant(outputs: Arrays, entry: Mapping[str, Any]) -> list[float]:
    score = outputs[entry["score"]][:1].reshape(1, -1)
    index = entry.get("index")
    picked = score if index is None else score[:, index : index + 1]
    return [round(float(value), 5) for value in (picked - outputs[entry["map"]][:1].mean(axis=(2, 3)))[0]]
