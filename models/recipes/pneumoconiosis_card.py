# SPDX-License-Identifier: Apache-2.0
"""What the pneumoconiosis demonstration package says about itself: description, acceptance profile, model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LICENCE = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")

ACCEPTANCE: Mapping[str, Any] = {
    "sop_classes": ["1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"],
    "views": ["PA"],
    "body_parts": ["CHEST"],
    "derivations_refused": ["BONE SUPP", "SOFT TISSUE", "DUAL ENERGY", "SUBTRACT", "RIB SUPP", "TOMO"],
    "pixel_spacing_wanted_mm": 0.21,
    "pixel_spacing_max_mm": 0.30,
    "bits_stored_min": 10,
    "lossy_ratio_max": 10,
    "age_min_years": 16,
    "grey_range_min": 0.25,
    "saturated_share_max": 0.5,
    "lung_area_cm2": [70, 450],
    "lung_ratio_min": 0.45,
    "lung_certainty_min": 0.89,
    "heart_certainty_min": 0.86,
    "lung_darkness_min": 0.05,
    "mediastinum_contrast_min": -0.15,
    "lung_at_edge_max_mm": 15,
    "heart_side_min": -0.03,
}

DESCRIPTION: Mapping[str, Any] = {
    "name": "pneumoconiosis-demo",
    "version": "0.1.0",
    "title": "Pneumoconiosis small opacities (demonstration)",
    "pipeline": "pneumoconiosis",
    "status": "demonstration",
    "clinical_use": "prohibited",
    "intended_use": "Shows the whole path of the pneumoconiosis pipeline on phantoms. Not for patients.",
    "trained_on": "Procedural phantom radiographs only (models.phantoms.chest_radiograph); no image of a patient.",
    "licence": "Apache-2.0",
    "contact": "The Dokuei project",
    "classes": [
        {"name": name, "code": {"value": f"ILO-{name}", "scheme": "99DOKUEI"}, "title": f"ILO shape {name}"}
        for name in "pqrstu"
    ],
    "triage_operating_point": "review_first",
    "acceptance": ACCEPTANCE,
}


def model_card(metrics: Sequence[Mapping[str, Any]], operating_points: Mapping[str, Mapping[str, Any]]) -> str:
    """Return MODEL_CARD.md: the figures under scanner shift come first, because patients are a shift."""
    rows = "\n".join(f"| {row['condition']} | {row['name']} | {row['value']:.3f} | {row['cases']} |" for row in metrics)
    points = "\n".join(_point(name, point) for name, point in operating_points.items())
    return _CARD.format(rows=rows, points=points)


def _point(name: str, point: Mapping[str, Any]) -> str:
    numbers = f"{point['threshold']:.3f} | {point['sensitivity']:.3f} | {point['specificity']:.3f}"
    return f"| {name} | {numbers} | {point['measured_on']} |"


_CARD = """# Pneumoconiosis small opacities, demonstration package

**Not for clinical use.** Performance on patients is unknown; expected to be poor.

Both networks were trained and measured on procedural phantoms alone (`models/phantoms/chest_radiograph`): PA films made
by the physics of the exposure from a body, lungs, heart, diaphragm, ribs, clavicles, scapulae, spine, branching vessels
and opacities p to u. They have seen no image of a patient. A phantom's profusion is a density of drawn opacities, not
the judgement of a reader against the ILO standard films.

## What it does

`lungseg` finds the right lung, the left lung and the heart on the whole film at 256 x 256. The lungs are cut into six
zones of equal height. `zones` reads each zone at 0.5 mm per pixel: the picture goes through a Haar transform, whose
four bands and the mask enter a small VGG; its features are averaged inside the mask alone. Profusion is a cumulative
reading of the ILO 12-point scale, shape a score for each of p q r s t u. The map `cam` averages exactly to the logit of
"profusion 1/0 or more"; it explains a zone's score and is no detection.

Overall profusion is the mean over zones read as 0/1 or more. The film's score is the mean of its two highest zone
scores. Scores are not calibrated probabilities. Large opacities, pleura and symbols are not read.

## How well, on phantoms

Figures under scanner shift come first (a third of the dose, more blur, another tone curve; such scanners were also
drawn in training, so a truly strange scanner does worse). Zones are counted as cases, films for the film score.

| condition | measure | value | cases |
|---|---|---|---|
{rows}

Phantom figures must never be printed beside clinical ones.

## Operating points on the film score

| name | threshold | sensitivity | specificity | measured on |
|---|---|---|---|---|
{points}

## Known failures

Real lungs have far more texture than phantom lungs: of 16 public films labelled "no finding", one was refused and all
15 others were read as category 2 or 3. On patients this package calls everything disease. The lung finder does better:
the gates let 195 of 217 public films through (their limits were set while looking at these films), and on 48 of those
its masks followed the lungs, but for seven with a spur into the armpit or the chest wall. What was refused were mostly
bedside films, children and white-outs. Consolidation, effusion, surgery, children and lateral views were never seen in
training. Phantom lungs have no fissures, no lymph nodes and no pleural disease.
"""
