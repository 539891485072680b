# SPDX-License-Identifier: Apache-2.0
"""What the pneumoconiosis demonstration package says about itself: description, acceptance profile, model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.calibration.rejection import Rejection, card_table
from models.networks.wavelet import BANDS
from models.networks.zone_profusion import PLAIN
from models.recipes.card_parts import CardPart
from models.recipes.pneumoconiosis_films import ATTRIBUTION, listed_films
from models.recipes.pneumoconiosis_lungs import read_masks
from models.recipes.pneumoconiosis_recipe import PneumoconiosisRecipe, ZoneNetwork

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
    "lung_certainty_min": 0.93,
    "heart_certainty_min": 0.9,
    "lung_darkness_min": 0.05,
    "mediastinum_contrast_min": -0.15,
    "lung_at_edge_max_mm": 15,
    "heart_side_min": -0.03,
}

_ON_FILMS = (
    "Procedural phantom radiographs (models.phantoms.chest_radiograph) and {count} public radiographs of {patients} "
    f"patients ({ATTRIBUTION}): the lung finder on all of them, with masks of an earlier lung finder, the zone reader "
    "on the {normal} labelled No Finding, with and without opacities drawn into them. No film of pneumoconiosis."
)
_ON_PHANTOMS = "Procedural phantom radiographs only (models.phantoms.chest_radiograph); no image of a patient."


def description(recipe: PneumoconiosisRecipe) -> dict[str, Any]:
    """Return what the manifest says of a package of this recipe."""
    return {
        "name": recipe.name,
        "version": recipe.version,
        "title": "Pneumoconiosis small opacities (demonstration)",
        "pipeline": recipe.pipeline,
        "status": "demonstration",
        "clinical_use": "prohibited",
        "intended_use": "Shows the whole path of the pneumoconiosis pipeline. Not for patients.",
        "trained_on": trained_on(recipe),
        "licence": "Apache-2.0",
        "contact": "The Dokuei project",
        "classes": [
            {"name": name, "code": {"value": f"ILO-{name}", "scheme": "99DOKUEI"}, "title": f"ILO shape {name}"}
            for name in "pqrstu"
        ],
        "triage_operating_point": "review_first",
        "acceptance": ACCEPTANCE,
    }


def trained_on(recipe: PneumoconiosisRecipe) -> str:
    """Return what both networks have seen, with counts and attribution."""
    if recipe.films is None:
        return _ON_PHANTOMS
    taught = read_masks()
    films = [film for film in listed_films() if film.split == "training" and film.image in taught]
    normal = [film for film in films if film.normal]
    return _ON_FILMS.format(count=len(films), patients=len({film.patient for film in films}), normal=len(normal))


def model_card(
    metrics: Sequence[Mapping[str, Any]],
    operating_points: Mapping[str, Mapping[str, Any]],
    recipe: PneumoconiosisRecipe,
    refused: Sequence[Rejection],
    *,
    votes: str = "",
) -> str:
    """Return MODEL_CARD.md: the figures under scanner shift come first, because patients are a shift.

    Parameters
    ----------
    votes
        Table of the members of an ensemble.
    """
    rows = "\n".join(_metric(row) for row in metrics)
    points = "\n".join(_point(name, point) for name, point in operating_points.items())
    films = _FILMS.format(**_counts()) if recipe.films else ""
    failures = _FAILURES if recipe.films else _PHANTOM_FAILURES
    doubts = _DOUBTS.format(table=card_table(refused)) if refused else ""
    return _CARD.format(
        rows=rows,
        points=points,
        trained_on=trained_on(recipe),
        films=films,
        failures=failures,
        doubts=doubts,
        reader=_reader(recipe),
        votes=_VOTES.format(table=votes) if votes else "",
    )


def _reader(recipe: PneumoconiosisRecipe) -> str:
    """Say what the zone reader is made of."""
    if recipe.ensemble is None:
        return _ONE_READER.format(**_network(recipe.network))
    members = [
        "{name} ({family} over the {bands} of {wavelet})".format(name=name, **_network(member))
        for name, member in recipe.ensemble.members.items()
    ]
    return _READERS.format(members=",\n".join(members), folds=recipe.ensemble.folds)


def _network(network: ZoneNetwork) -> dict[str, str]:
    """Return the words for each part of a reader."""
    count = len(network.bands)
    return {
        "family": "a small VGG" if network.family == PLAIN else network.family,
        "wavelet": network.wavelet.capitalize(),
        "bands": "four bands" if count == len(BANDS) else f"band{'s' * (count > 1)} {' and '.join(network.bands)}",
    }


def _counts() -> dict[str, int]:
    """Return how many films of the list are for what."""
    films = listed_films()
    held_back = [film for film in films if film.split == "held-back" and film.normal and film.view == "PA"]
    tuning = [film for film in films if film.split == "tuning"]
    return {"listed": len(films), "held_back": len(held_back), "tuning": len(tuning)}


def _metric(row: Mapping[str, Any]) -> str:
    return f"| {row['condition']} | {row['name']} | {row['value']:.3f} | {row['cases']} | {row.get('note', '')} |"


def _point(name: str, point: Mapping[str, Any]) -> str:
    numbers = f"{point['threshold']:.3f} | {point['sensitivity']:.3f} | {point['specificity']:.3f}"
    return f"| {name} | {numbers} | {point['measured_on']} |"


def with_findings(card: str, metrics: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any]) -> str:
    """Return a model card that tells of the graphs for large opacities and the pleura too.

    Raises
    ------
    ValueError
        The card has no such place: it tells of them already, or is another package's.
    """
    rows = "\n".join(_metric(row) for row in metrics)
    return _FINDINGS.add(card, _FINDINGS_SECTION.format(rows=rows, switched=_switched(parameters)))


def without_findings(card: str) -> str:
    """Return a model card that tells of neither graph: what `with_findings` adds is taken away, if it is there."""
    return _FINDINGS.remove(card)


def _switched(parameters: Mapping[str, Any]) -> str:
    """Say what is switched off, and what that rests on."""
    pleura = parameters["pleura"]["findings"] if "pleura" in parameters else {}
    heads = {**pleura}
    if "large_opacities" in parameters:
        heads["large opacities"] = parameters["large_opacities"]
    if not heads:
        return "Nothing of it is read: all find less than half of what is drawn into phantoms on unseen scanners."
    off = {name: how["off"] for name, how in heads.items() if "off" in how}
    if not off:
        return f"Read: {', '.join(heads)}; the others find less than half of what is drawn on unseen scanners, if any."
    told = ", ".join(
        f"{name} ({how['called']} of {how['films']} real normal films called)" for name, how in off.items()
    )
    return f"Switched off, because they call more than a tenth of the real normal films held back: {told}."


_FINDINGS = CardPart(
    title="## Large opacities and the pleura\n",
    before="## Known failures\n",
    without="Large opacities, pleura and symbols are not read.",
    told="Symbols are not read; large opacities and the pleura have graphs of their own.",
)

_FINDINGS_SECTION = """## Large opacities and the pleura

`largeop` and `pleura` are small U-Nets over the whole film at 256 x 256. Both were fitted to phantoms with drawn masses
and drawn pleural disease, and, where real films are named above, to the same normal films of training, plain and drawn
into. The other networks have seen neither. Nothing of either kind was seen on a patient. Thresholds are the lowest that
call at most 5 % of the phantoms and 5 % of the real normal films of tuning. Masses are measured at the detector plane,
at 1.6 mm a pixel. Diffuse thickening counts only with an obliterated angle of the same side. A side is called where
60 mm2 of it reach the threshold. The lungs are those that the package finds on the very film: where a mass or a thick
pleura is cut off, it is missed, and is counted as missed.
{switched}

| condition | measure | value | cases | note |
|---|---|---|---|---|
{rows}

"""

_CARD = """# Pneumoconiosis small opacities, demonstration package

**Not for clinical use.** Performance on patients with pneumoconiosis is unknown; expected to be poor.

## What it was trained on

{trained_on}
{films}
A phantom's profusion, and a drawn film's, is a density of drawn opacities, not the judgement of a reader against the
ILO standard films.

## What it does

`lungseg` finds the right lung, the left lung and the heart on the whole film at 256 x 256. The lungs are cut into six
zones of equal height. `zones` reads each zone at 0.5 mm per pixel: the picture goes through
{reader} Profusion is a cumulative
reading of the ILO 12-point scale, shape a score for each of p q r s t u. The map `cam` averages exactly to the logit of
"profusion 1/0 or more"; it explains a zone's score and is no detection.

Overall profusion is the mean over zones read as 0/1 or more. After training, logits were doubled and the cuts of the
scale lowered by one number for all of them, until at most 5 % of the normal phantoms and 5 % of the normal real films
of tuning were read as 1/0 or more. The film's score is the mean of its two highest zone scores. Scores are not
calibrated probabilities. Large opacities, pleura and symbols are not read.

## How well

Figures under scanner shift come first (a third of the dose, more blur, another tone curve; such scanners were also
drawn in training, so a truly strange scanner does worse), then phantoms of everyday scanners, then real films. Zones
are counted as cases, films for everything that is said of films.

| condition | measure | value | cases | note |
|---|---|---|---|---|
{rows}

Phantom figures, and those of drawn opacities, must never be printed beside clinical ones.

{votes}## Operating points on the film score

| name | threshold | sensitivity | specificity | measured on |
|---|---|---|---|---|
{points}

{doubts}## Known failures

{failures}
"""

_ONE_READER = """a {wavelet} transform, whose {bands} and the mask enter {family}; its features are averaged inside the
mask alone."""

_READERS = """wavelet transforms, whose bands and the mask enter networks that vote:
{members}.
Features are averaged inside the mask alone. Logits and maps are the weighted means of theirs; a weight is SAMME's, from
the errors in {folds} folds, with all films of a body or patient in one. The graph says too how far they agree."""

_VOTES = """### Members and votes

Each member as if it read alone, with cuts lowered as for all of them together; zones of phantoms are the cases. A hard
vote has few values, so that its AUC is low for that alone.

{table}

"""

_DOUBTS = """## Films unlike those of training

A film is refused when the mean distance of its zones from the zones of training is above a limit, at one of two depths
of the network. The limits are the 99th percentiles of the tuning films, phantoms and real ones together.

{table}
"""

_FILMS = """
The images are no part of this package. `models/recipes/pneumoconiosis_films.csv` lists all {listed} of them with their
SHA-256, pixel spacing and split; a patient is in one split alone. {tuning} films were for tuning: thresholds were
chosen on them. {held_back} PA films labelled No Finding were held back; nothing was trained on them, and the
rows `real-films` are theirs. The labels were text-mined by the data set's authors and are sometimes wrong.
"""

_FAILURES = """\
Normal films are called too often: the row of no-finding films above; the aim was a tenth, and is not reached (0.1.0
called every one of 57 such films). To come as far as that, all cuts were lowered, so that readings are too low:
agreement with the 12-point scale is below that of 0.1.0 (0.74 and 0.66), though zones and films are told apart about
as well. Faint disease is missed, p most of all. The screening point keeps 95 % of disease by calling nearly every
normal film: it is of no use. The films of 512 pixels, most of the real ones, cannot show p. All real films come from
one hospital. The figures of the held-back films were seen after each of four trainings, and no choice was made by
them but one: no stricter cut.

Lung masks, against readers' of three films of severe pneumonia that were never trained on, without what lies behind
heart and mediastinum (Dice of both lungs together): 0.96, 0.94 and 0.92; the last is cut off at the apex and white
below (0.84 at one look: closely cropped films are looked at again with margins). Of 217 public films 212 pass the
limits of anatomy, which were set while looking at them; a lung that is white from top to bottom is refused.
Consolidation, effusion and surgery were seen by the lung finder alone; children are in its training, and refused by
age. Lateral views were never seen. Phantom lungs have no fissures, no lymph nodes and no pleural disease."""

_PHANTOM_FAILURES = """\
Real lungs have far more texture than phantom lungs: expect nearly every real film to be called disease. Consolidation,
effusion, surgery, children and lateral views were never seen in training. Phantom lungs have no fissures, no lymph
nodes and no pleural disease."""
