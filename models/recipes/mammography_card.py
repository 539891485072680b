# SPDX-License-Identifier: Apache-2.0
"""What the mammography demonstration package says about itself in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.calibration.rejection import Rejection, card_table
from models.recipes.mammography_data import MARKED, SPACING_MM
from models.recipes.mammography_recipe import DistortionFit, FineFit, MammographyRecipe
from models.training.scanner_shift_settings import ScannerShift
from service.domain.reliability import Reliability
from service.pipelines.mammography.kinds import KINDS, KindName

LICENCE = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")

DESCRIPTION: Mapping[str, Any] = {
    "title": "Mammography marks (demonstration)",
    "pipeline": "mammography",
    "status": "demonstration",
    "clinical_use": "prohibited",
    "intended_use": "Shows the whole path of the mammography pipeline on phantoms. Not for patients.",
    "trained_on": "Procedural phantom mammograms only (models.phantoms.mammogram); no image of a patient.",
    "licence": "Apache-2.0",
    "contact": "The Dokuei project",
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


DISPLAY_ALLOWED = 0.025
"""False marks per view and kind that the display threshold of the detector at 0.4 mm allows on tuning phantoms."""
CLUSTERS_ALLOWED = 0.05
"""That of the detector of clusters, which has fewer phantoms to be tuned on."""
_TITLES: Mapping[KindName, str] = {
    "mass": "Mass candidate (mammographic density)",
    "distortion": "Architectural distortion candidate",
    "cluster": "Calcification cluster candidate",
}


def classes(recipe: MammographyRecipe) -> list[dict[str, Any]]:
    """Return what the package looks for: the channels of the detector's heat, then what graphs beside it mark."""
    return [
        {"name": kind, "code": {"value": KINDS[kind].single.value, "scheme": "SCT"}, "title": _TITLES[kind]}
        for kind in (*MARKED, *_added(recipe))
    ]


def _added(recipe: MammographyRecipe) -> tuple[KindName, ...]:
    sections: Mapping[KindName, object] = {"distortion": recipe.distortions, "cluster": recipe.fine}
    return tuple(kind for kind, section in sections.items() if section is not None)


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
        overlap=f" {_overlap(recipe)}" if recipe.fit is not None else "",
        members=_members(recipe),
        unlooked=_unlooked(recipe),
        missed=_missed(recipe),
        sought=" or ".join(["a mass", *(f"a {kind}" for kind in _added(recipe))]),
        closer="".join(
            [
                "" if recipe.distortions is None else _strands(recipe.distortions),
                "" if recipe.fine is None else _closer(recipe.fine),
            ]
        ),
        detector=_detector(recipe),
        points_of=_points_of(recipe),
        curves=f"| score | method | cases | with a lesion |\n|---|---|---|---|\n{curves}\n"
        if curves
        else "Not made.\n",
        refusals=card_table(refusals) if refusals else "Not made.\n",
    )


def _unlooked(recipe: MammographyRecipe) -> str:
    """Say what is not looked for, as the end of the sentence on masses."""
    names = {"distortion": "architectural distortions", "cluster": "clusters of calcifications"}
    left = [name for kind, name in names.items() if kind not in _added(recipe)]
    return f"; {' and '.join(left)} are not looked for" if left else ""


def _missed(recipe: MammographyRecipe) -> str:
    """Say what is missed, in the order of how much."""
    strands = "Distortions in dense tissue" if recipe.distortions is not None else "Architectural distortions"
    specks = "single calcifications" if recipe.fine is not None else "calcifications"
    return f"{strands}, small masses in dense tissue and {specks}"


def _strands(settings: DistortionFit) -> str:
    crops = settings.views * settings.crops_per_view * settings.marks.epochs
    return _DISTORTIONS.format(views=settings.views, crops=crops, size=settings.crop_px * SPACING_MM)


def _closer(settings: FineFit) -> str:
    look = settings.second_look
    again = "" if look is None else _LOOKED.format(marks=look.marks, exams=look.exams)
    each = settings.crops_per_view * settings.clusters.epochs
    return _CLUSTERS.format(views=settings.views, crops=settings.views * each, size=settings.crop_px / 10) + again


def _detector(recipe: MammographyRecipe) -> str:
    exams = recipe.data.exams
    if recipe.fit is None:
        return (
            f"The detector at 0.4 mm is that of version 0.1.0, to the last bit. {exams} phantom exams of four views "
            "were drawn for the\ndistances from what it has seen, and for their limits."
        )
    return f"{exams} phantom exams of four views were drawn to fit and to validate the detector."


def _members(recipe: MammographyRecipe) -> str:
    count = recipe.network.members
    if count == 1:
        return "One network reads"
    return f"{count} networks, trained alike from different first weights, read"


def _points_of(recipe: MammographyRecipe) -> str:
    clusters = "" if recipe.fine is None else f", `display-cluster` {CLUSTERS_ALLOWED:g}"
    return f"each `display` point allows {DISPLAY_ALLOWED:g} false marks of its kind per view{clusters}"


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
    found = f"{point['sensitivity']:.3f}" if "sensitivity" in point else "no lesion was drawn"
    return f"| {name} | {point['threshold']:.3f} | {found} | {point['measured_on']} |"


_DISTORTIONS = """
A graph of its own marks architectural distortions at 0.4 mm; a view's score is the higher of the detector's and of its
highest distortion, which the map does not show. It works in units of the local contrast, and was trained on {crops}
crops of {size:g} mm from {views} further phantom views, with lesions and a scanner drawn anew for each.
"""
_CLUSTERS = """
A graph of its own marks clusters of calcifications at 0.1 mm; a view's score is the higher of the detector's and of its
highest cluster. It takes out the tissue, works in units of the picture's own grain, and was trained on {crops} crops of
{size:g} mm from {views} further phantom views, with calcifications and a scanner drawn anew for each.
"""
_LOOKED = """
Another looks once more at the {marks} highest marks of a view and gives each a malignancy score: a lesion, or a benign
mark or tissue? It was trained on marks of {exams} further phantom exams, in which every lesion counts as malignant.
That score stands beside a mark and hides none.
"""

_CARD = """# Mammography marks, demonstration package

**Not for clinical use.** Performance on patients is unknown; expected to be poor.

The networks were trained and measured on procedural phantoms alone (`models/phantoms/mammogram`): compressed breasts
with a clustered lumpy background, ligaments, vessels, pectoral muscle, lobulated and spiculated masses, architectural
distortions, clusters of calcifications, and benign marks that must not be found. They
have seen no image of a patient, no real scanner, no implant, no surgery, no tomosynthesis, no film.

## What it does

{members} one view at 0.4 mm per pixel, fully convolutional. Marks of masses are peaks of
a heat map{unlooked}.
The view score is the global average of a class activation map, which is shown; the map explains the score and is no
detection. A breast's score is the noisy-or of its views, the exam's the higher of both breasts. The scores themselves
are no probabilities.
{closer}
{detector}

## Held-out phantoms

Phantom figures must not be set beside clinical ones: phantom lesions are easier than real ones. A mark hits a lesion
of its kind when its centre lies within the lesion's radius; any other mark is false. Under
*scanner-shift* the scanners spread {spread:g} times as far as usual in dose, blur and tone curve; training's spread
{trained:g} times as far.{overlap}

| condition | measure | value | cases |
|---|---|---|---|
{rows}

## Operating points

Set on further phantoms (half of them shifted): {points_of};
`triage` lets 95 % of breasts without {sought} stay below it.

| name | threshold | sensitivity | measured on |
|---|---|---|---|
{points}

## Doubts

Curves that bring a score to the share that is right, and sets of an exam's two answers, fitted to the tuning phantoms;
on patients they hold nothing.

{curves}
Views above the limit of one depth; the limits are the 99th percentile of views of usual scanners that were not fitted.

{refusals}
## Known failures

{missed} are missed. Lymph nodes, skin folds,
scars, clips and markers of real images were never seen and may be marked. Masses at the chest wall or below the
pectoral muscle are missed.
"""
