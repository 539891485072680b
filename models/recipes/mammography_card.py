# SPDX-License-Identifier: Apache-2.0
"""What the mammography demonstration package says about itself in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def model_card(metrics: Sequence[Mapping[str, Any]], operating_points: Mapping[str, Mapping[str, Any]]) -> str:
    """Return MODEL_CARD.md: the figures under scanner shift come first, because patients are a shift."""
    rows = "\n".join(f"| {row['condition']} | {row['name']} | {row['value']:.3f} | {row['cases']} |" for row in metrics)
    points = "\n".join(_point(name, point) for name, point in operating_points.items())
    return _CARD.format(rows=rows, points=points)


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
score is the noisy-or of its views, the exam's the higher of both breasts. Scores are not calibrated probabilities.
Calcifications are not looked for.

## Held-out phantoms

Phantom figures must not be set beside clinical ones: phantom masses are easier than real ones. A mark hits a mass when
its centre lies inside it. Under *scanner-shift* dose, blur and tone curve go beyond what training saw.

| condition | measure | value | cases |
|---|---|---|---|
{rows}

## Operating points

Set on further phantoms (half of them shifted): `display` allows 0.025 false marks per view, `triage` lets 95 % of
breasts without a mass stay below it.

| name | threshold | sensitivity | measured on |
|---|---|---|---|
{points}

## Known failures

Small masses in dense tissue are missed. Lymph nodes, skin folds, scars, clips and markers of real images were never
seen and may be marked. Masses at the chest wall or below the pectoral muscle are missed.
"""
