# SPDX-License-Identifier: Apache-2.0
"""What the mammography demonstration package says about itself in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.calibration.rejection import Rejection, card_table
from models.recipes.mammography_recipe import MammographyRecipe
from models.training.scanner_shift_settings import ScannerShift
from service.domain.reliability import Reliability

LICENCE = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")

DESCRIPTION: Mapping[str, Any] = {
    "title": "Mammography mass marks (demonstration)",
    "pipeline": "mammography",
    "status": "demonstration",
    "clinical_use": "prohibited",
    "intended_use": "Shows the whole path of the mammography pipeline on phantoms. Not for patients.",
    "trained_on": "Procedural phantom mammograms only (models.phantoms.mammogram); no image of a patient.",
    "licence": "Apache-2.0",
    "contact": "The Dokuei project",
    "classes": [
        {
            "name": "mass",
            "code": {"value": "129793001", "scheme": "SCT"},
            "title": "Mass candidate (mammographic density)",
        }
    ],
    "triage_operating_point": "triage",
    "acceptance": {
        "presentation_intents": ["FOR PRESENTATION"],
        "image_types_refused": ["TOMOSYNTHESIS", "GENERATED_2D", "TOMO_PROJ", "STEREO", "SUBTRACTION", "POST_CONTRAST"],
        "views": ["CC", "MLO"],
        "view_modifiers": ["442581004", "442580003", "442593008"],
        "lateralities": ["L", "R"],
        "implants": False,
        "specimens": False,
        "magnification_max": 1.1,
        "pixel_spacing_mm": [0.05, 0.10],
        "frames_max": 1,
        "patient_sexes": ["F"],
        "breast_area_cm2": [30.0, 500.0],
    },
}


def model_card(
    metrics: Sequence[Mapping[str, Any]],
    operating_points: Mapping[str, Mapping[str, Any]],
    *,
    recipe: MammographyRecipe,
    reliability: Reliability,
    refusals: Sequence[Rejection],
) -> str:
    """Return MODEL_CARD.md: the figures under scanner shift come first, because patients are a shift."""
    rows = "\n".join(f"| {row['condition']} | {row['name']} | {row['value']:.3f} | {row['cases']} |" for row in metrics)
    points = "\n".join(_point(name, point) for name, point in operating_points.items())
    curves = "\n".join(
        f"| {entry.target} | {entry.method} | {entry.n} | {entry.positives} |" for entry in reliability.calibration
    )
    return _CARD.format(
        rows=rows,
        points=points,
        spread=recipe.held_out.scanner_spread,
        trained=recipe.data.scanner_spread,
        overlap=_overlap(recipe),
        curves=f"| score | method | cases | with a mass |\n|---|---|---|---|\n{curves}\n" if curves else "Not made.\n",
        refusals=card_table(refusals) if refusals else "Not made.\n",
    )


def _overlap(recipe: MammographyRecipe) -> str:
    """Say how far augmentation reaches into the shift; 0.3 is how far the phantoms' scanners vary (log gamma)."""
    shift = recipe.augmentation.scanner_shift or ScannerShift()
    most = max(map(abs, shift.gamma.log_gamma)) if shift.gamma else 0
    return (
        f"Augmentation changes the finished image: log gamma up to {most:g} (the shift's: "
        f"{0.3 * recipe.held_out.scanner_spread:.2g}),\nnoise, blur and sharpness as the recipe file says. In the tone "
        "curve the shift may thus be none; its dose and blur come\nbefore the vendor's processing, which augmentation "
        "does not repeat."
    )


def _point(name: str, point: Mapping[str, Any]) -> str:
    return f"| {name} | {point['threshold']:.3f} | {point['sensitivity']:.3f} | {point['measured_on']} |"


_CARD = """# Mammography mass marks, demonstration package

**Not for clinical use.** Performance on patients is unknown; expected to be poor.

The network was trained and measured on procedural phantoms alone (`models/phantoms/mammogram`): compressed breasts
with a clustered lumpy background, ligaments, vessels, pectoral muscle, lobulated and spiculated masses, and benign
marks that must not be found. It has seen no image of a patient, no real scanner, no implant, no surgery, no
tomosynthesis, no film.

## What it does

A fully convolutional detector reads one view at 0.4 mm per pixel. Marks are peaks of its heat map. The view score is
the global average of a class activation map, which is shown; the map explains the score and is no detection. A breast's
score is the noisy-or of its views, the exam's the higher of both breasts. The scores
themselves are no probabilities. Calcifications are not looked for.

## Held-out phantoms

Phantom figures must not be set beside clinical ones: phantom masses are easier than real ones. A mark hits a mass when
its centre lies inside it. Under *scanner-shift* the scanners spread {spread:g} times as far as usual in dose, blur and
tone curve; training's spread {trained:g} times as far. {overlap}

| condition | measure | value | cases |
|---|---|---|---|
{rows}

## Operating points

Set on further phantoms (half of them shifted): `display` allows 0.025 false marks per view, `triage` lets 95 % of
breasts without a mass stay below it.

| name | threshold | sensitivity | measured on |
|---|---|---|---|
{points}

## Doubts

Curves that bring a score to the share that is right, fitted to the tuning phantoms, where half of the breasts bear a
mass; on patients they hold nothing.

{curves}
Views above the limit of one depth; the limits are the 99th percentile of views of usual scanners that were not fitted.

{refusals}
## Known failures

Small masses in dense tissue are missed. Lymph nodes, skin folds, scars, clips and markers of real images were never
seen and may be marked. Masses at the chest wall or below the pectoral muscle are missed.
"""
