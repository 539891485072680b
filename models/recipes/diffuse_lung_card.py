# SPDX-License-Identifier: Apache-2.0
"""What the diffuse lung demonstration package says about itself in words."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration.rejection import Rejection, card_table
from models.phantoms.computed_tomography import PATTERNS
from models.recipes.card_parts import CardPart
from models.recipes.diffuse_lung_calibration import Calibrated
from models.recipes.diffuse_lung_data import RECIPE
from models.recipes.diffuse_lung_recipe import DiffuseLungRecipe
from models.training.scanner_shift_settings import ScannerShift

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
    recipe: DiffuseLungRecipe,
    calibrated: Calibrated,
    refusals: Sequence[Rejection],
    shifted: NDArray[np.int64],
    inside: NDArray[np.int64],
    votes: str = "",
) -> str:
    """Return MODEL_CARD.md: the figures under scanner shift come first, because patients are a shift.

    `votes` is the table of an ensemble's members; without it the text is that of one network.
    """
    rows = "\n".join(f"| {row['condition']} | {row['name']} | {row['value']:.3f} | {row['cases']} |" for row in metrics)
    point = operating_points["triage"]
    return _CARD.format(
        rows=rows,
        threshold=point["threshold"],
        measured=point["measured_on"],
        shifted=confusion_table(shifted),
        inside=confusion_table(inside),
        overlap=overlap_table(recipe),
        reader=(_ENSEMBLE if votes else _NETWORK).format(temperature=calibrated.temperature),
        votes=_VOTES.format(table=votes) if votes else "",
        refusals=card_table(refusals) if refusals else "Not made.\n",
        lost=_DENSE.without,
    )


def with_dense(card: str, metrics: Sequence[Mapping[str, Any]], *, learnt: str) -> str:
    """Return a model card that tells of the graph for lung without air too: what it has learnt, and what was measured.

    Raises
    ------
    ValueError
        The card has no such place: it tells of it already, or is another package's.
    """
    rows = "\n".join(f"| {row['condition']} | {row['name']} | {row['value']:.3f} | {row['cases']} |" for row in metrics)
    return _DENSE.add(card, _DENSE_SECTION.format(rows=rows, learnt=learnt))


def without_dense(card: str) -> str:
    """Return a model card that does not tell of that graph: what `with_dense` adds is taken away, if it is there."""
    return _DENSE.remove(card)


def confusion_table(counts: NDArray[np.int64]) -> str:
    """Return a Markdown table: a row for each pattern drawn, a column for each pattern called, then the recall."""
    numbers = [str(index) for index in range(len(PATTERNS))]
    head = f"| drawn \\ called | {' | '.join(numbers)} | recall |\n|{'---|' * (len(numbers) + 2)}"
    lines = [
        f"| {index} {name} | {' | '.join(map(str, row))} | {row[index] / max(row.sum(), 1):.2f} |"
        for index, (name, row) in enumerate(zip(PATTERNS, counts, strict=True))
    ]
    return "\n".join([head, *lines])


def overlap_table(recipe: DiffuseLungRecipe) -> str:
    """Return a Markdown table of the shift's scanners beside those of training and what augmentation makes of these.

    The ranges of both kinds of scanner are those of `models.phantoms.computed_tomography.scanner`.
    """
    shift = recipe.augmentation.scanner_shift or ScannerShift()
    blur_mm = math.hypot(0.62, shift.blur.sigma_px[1] * RECIPE.pixel_mm if shift.blur else 0)
    noise_hu = math.hypot(55, shift.noise.deviation[1] * _GREY_HU if shift.noise else 0)
    offset_hu = 12 + (max(map(abs, shift.level.offset)) * _GREY_HU if shift.level else 0)
    lines = [
        "| | shifted scanners | training's scanners | with augmentation |\n|---|---|---|---|",
        f"| point spread, sigma | 0.70 to 1.00 mm | 0.32 to 0.62 mm | up to {blur_mm:.2f} mm |",
        f"| noise | 60 to 95 HU | 12 to 55 HU | up to {noise_hu:.0f} HU |",
        f"| calibration | -40 to 40 HU | -12 to 12 HU | up to {offset_hu:.0f} HU to either side |",
    ]
    if recipe.data.scanners.shifted:
        share = 100 * recipe.data.scanners.shifted
        lines.append(f"\nTraining drew {share:g} % of its phantoms with shifted scanners: to it they are no shift.")
    return "\n".join(lines)


_GREY_HU = RECIPE.window_hu[1] - RECIPE.window_hu[0]


_NETWORK = """A small residual network names the pattern of a patch of 48 x 48 pixels (28.8 mm) in the window -1000 to
+200 HU. Probabilities are softmax of the logits divided by {temperature:.3f}, the temperature that tuning phantoms
gave; that holds for such phantoms alone. The graph also gives an exact decomposition of each logit (`cam`), the
features, and how far they lie from those of training at two depths."""

_ENSEMBLE = """Four small networks, of the families VGG16, VGG19, ResNet and DenseNet, vote on the pattern of a patch
of 48 x 48 pixels (28.8 mm) in the window -1000 to +200 HU. A vote counts by SAMME, from errors on patches of bodies
that no network of a fold has seen, shown as other scanners would. No layer pads, so that the graph reads a whole lung
of a slice at once and says of it what it says of its patches. Probabilities are the soft vote to the power of 1 /
{temperature:.3f}, the temperature that tuning phantoms gave; that holds for such phantoms alone. The graph also gives
the hard vote, the margin between the two likeliest patterns, the Jensen-Shannon divergence of the members, an exact
decomposition (`cam`) of the members' mean logits, and the features of the member that weighs most with how far they
lie from those of training at two depths. Patches on which the members differ more than on 99 % of tuning patches
count as without a settled pattern."""

_VOTES = """
### Members and votes

Share of patches that are right; weights as said above.

{table}
"""

_DENSE = CardPart(
    title="## Lung without air\n",
    before="## Known failures\n",
    without="Lungs are found by threshold and morphology: consolidation at the pleura is left out of the lung and so "
    "of the shares.",
    told="""Lungs are found by threshold and morphology, and lung without air by a network that has seen hardly any
patient: it may miss some, take other soft tissue for lung, or take fluid beside the lung for consolidation.""",
)

_DENSE_SECTION = f"""{_DENSE.title}
A small U-Net (graph `lungs`) sees lung on whole slices of 2.4 mm pixels, aerated or not. Of what it sees, soft tissue
at least 8 mm broad that thresholds did not find is added to the lungs, where their air spans it, and then classified
like all other lung. It has learnt {{learnt}}. In every
epoch consolidation was painted into the lungs of three of four of them. The slices of patients are few, and what is
lung on them thresholds said.

Phantom chests on seeds of their own:

| condition | measure | value | cases |
|---|---|---|---|
{{rows}}

"""

_CARD = """# Diffuse lung patterns, demonstration package

**Not for clinical use.** Performance on patients is unknown; expected to be poor.

The network was trained and measured on procedural phantoms alone (`models/phantoms/computed_tomography`): textures in
the sizes of the Fleischner glossary, and chests into which they are painted. It has seen no image of a patient, no real
scanner, no motion, no contrast agent, no lung cancer, no effusion and no child.

## What it does

{reader}

Patches lie 7.2 mm apart on slices at least 5 mm apart, wherever three quarters of a patch are lung. Each tile of lung
takes the pattern of its patch; tiles at the rim take that of the nearest patch. Shares of lung follow by side and by
thirds of the lung volume.

## Held-out phantoms

Phantom figures must not be set beside clinical ones. *Scanner-shift* is made of scanners that training did not draw;
what augmentation makes of its images may reach into their range:

{overlap}

Augmented noise and blur are laid on the finished image; a scanner's noise is shaped by its kernel. Patches of one chest
are not independent cases.

| condition | measure | value | cases |
|---|---|---|---|
{rows}

Operating point `triage`: abnormal share of lung at or above {threshold:.3f}; {measured}.
{votes}
### Patches under scanner shift

{shifted}

### Patches in domain

{inside}

## What lies outside

Patches above the limit of one depth; the limits are the 99th percentile of tuning phantoms.

{refusals}
## Known failures

{lost}
Vessels and airways near the hilum can be called reticulation, nodules or cysts. Motion, contrast agent and dependent
opacity are not modelled. Thick slices and soft kernels lose fine patterns.
"""
