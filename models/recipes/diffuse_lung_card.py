# SPDX-License-Identifier: Apache-2.0
"""What the diffuse lung demonstration package says about itself in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.phantoms.computed_tomography import PATTERNS

LICENCE = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")

TITLES: Mapping[str, tuple[str, str, str]] = {
    "normal": ("Normal lung", "99DOKUEI", "DLD-NORMAL"),
    "consolidation": ("Consolidation", "SCT", "95436008"),
    "ground_glass": ("Ground glass", "DCM", "112120"),
    "ground_glass_micronodules": ("Ground glass + nodules", "DCM", "112120"),
    "ground_glass_reticulation": ("Ground glass + reticulation", "DCM", "112120"),
    "reticulation": ("Reticulation", "DCM", "112113"),
    "honeycombing": ("Honeycombing", "DCM", "112106"),
    "micronodules": ("Micronodules", "DCM", "112122"),
    "emphysema": ("Emphysema", "SCT", "87433001"),
    "single_cyst": ("Single cyst", "99DOKUEI", "DLD-CYST"),
    "multiple_cysts": ("Multiple cysts", "99DOKUEI", "DLD-CYST"),
    "crazy_paving": ("Crazy paving", "99DOKUEI", "DLD-CRAZY"),
}
"""Title, coding scheme and code of each pattern."""

DESCRIPTION: Mapping[str, Any] = {
    "title": "Diffuse lung patterns (demonstration)",
    "pipeline": "diffuse_lung",
    "status": "demonstration",
    "clinical_use": "prohibited",
    "intended_use": "Shows the whole path of the diffuse lung pipeline on phantoms. Not for patients.",
    "trained_on": "Procedural thin-section CT phantoms only (models.phantoms.computed_tomography); no patient's image.",
    "licence": "Apache-2.0",
    "contact": "The Dokuei project",
    "classes": [
        {"name": name, "title": title, "code": {"scheme": scheme, "value": value}}
        for name, (title, scheme, value) in TITLES.items()
    ],
    "triage_operating_point": "triage",
    "acceptance": {
        "best_thickness_mm": 2.0,
        "largest_thickness_mm": 3.0,
        "smallest_pixel_mm": 0.45,
        "largest_pixel_mm": 0.95,
        "largest_tilt_degrees": 5.0,
        "largest_gantry_tilt_degrees": 1.0,
        "minimum_slices": 8,
        "uniformity": 0.01,
        "kernels": ["PHANTOM-LUNG"],
        "smallest_lung_litres": 1.0,
        "largest_lung_litres": 10.0,
        "smallest_slice_cm2": 60.0,
        "open_end_share": 0.5,
    },
}


def model_card(
    metrics: Sequence[Mapping[str, Any]],
    operating_points: Mapping[str, Mapping[str, Any]],
    *,
    shifted: NDArray[np.int64],
    inside: NDArray[np.int64],
) -> str:
    """Return MODEL_CARD.md: the figures under scanner shift come first, because patients are a shift."""
    rows = "\n".join(f"| {row['condition']} | {row['name']} | {row['value']:.3f} | {row['cases']} |" for row in metrics)
    point = operating_points["triage"]
    return _CARD.format(
        rows=rows,
        threshold=point["threshold"],
        measured=point["measured_on"],
        shifted=confusion_table(shifted),
        inside=confusion_table(inside),
    )


def confusion_table(counts: NDArray[np.int64]) -> str:
    """Return a Markdown table: a row for each pattern drawn, a column for each pattern called, then the recall."""
    numbers = [str(index) for index in range(len(PATTERNS))]
    head = f"| drawn \\ called | {' | '.join(numbers)} | recall |\n|{'---|' * (len(numbers) + 2)}"
    lines = [
        f"| {index} {name} | {' | '.join(map(str, row))} | {row[index] / max(row.sum(), 1):.2f} |"
        for index, (name, row) in enumerate(zip(PATTERNS, counts, strict=True))
    ]
    return "\n".join([head, *lines])


_CARD = """# Diffuse lung patterns, demonstration package

**Not for clinical use.** Performance on patients is unknown; expected to be poor.

The network was trained and measured on procedural phantoms alone (`models/phantoms/computed_tomography`): textures in
the sizes of the Fleischner glossary, and chests into which they are painted. It has seen no image of a patient, no real
scanner, no motion, no contrast agent, no lung cancer, no effusion and no child.

## What it does

A small residual network names the pattern of a patch of 48 x 48 pixels (28.8 mm) in the window -1000 to +200 HU.
Patches lie 7.2 mm apart on slices at least 5 mm apart, wherever three quarters of a patch are lung. Each tile of lung
takes the pattern of its patch; tiles at the rim take that of the nearest patch. Shares of lung follow by side and by
thirds of the lung volume. Scores are not calibrated probabilities. The graph also gives an exact decomposition of each
logit (`cam`) and the features.

## Held-out phantoms

Phantom figures must not be set beside clinical ones. Under *scanner-shift* dose, kernel and calibration lie outside
what training saw.

| condition | measure | value | cases |
|---|---|---|---|
{rows}

Operating point `triage`: abnormal share of lung at or above {threshold:.3f}; {measured}.

### Patches under scanner shift

{shifted}

### Patches in domain

{inside}

## Known failures

Lungs are found by threshold and morphology: consolidation at the pleura is left out of the lung and so of the shares.
Vessels and airways near the hilum can be called reticulation, nodules or cysts. Motion, contrast agent and dependent
opacity are not modelled. Thick slices and soft kernels lose fine patterns.
"""
