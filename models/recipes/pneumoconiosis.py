# SPDX-License-Identifier: Apache-2.0
"""Makes the pneumoconiosis demonstration package: draws phantoms, reads films, trains, measures, exports and packs."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.calibration.graph import WithDistances
from models.calibration.sections import manifest_sections
from models.networks.lung_unet import LungUNet
from models.networks.zone_ensemble import ZoneEnsemble, ZoneReader
from models.packaging import write_package
from models.recipes.pneumoconiosis_card import LICENCE, description, model_card, with_findings
from models.recipes.pneumoconiosis_cuts import lower_cuts
from models.recipes.pneumoconiosis_data import CROP, PIXEL_MM, segmentation_set
from models.recipes.pneumoconiosis_doubts import Doubts, doubts_of
from models.recipes.pneumoconiosis_evaluation import FilmReadings, read_films
from models.recipes.pneumoconiosis_export import export_graphs
from models.recipes.pneumoconiosis_findings_package import FindingsPart, make_findings
from models.recipes.pneumoconiosis_members import train_ensemble, votes_table
from models.recipes.pneumoconiosis_metrics import film_rows, lung_rows, zone_rows
from models.recipes.pneumoconiosis_recipe import PneumoconiosisRecipe
from models.recipes.pneumoconiosis_sets import HELD_OUT_LUNGS, Drawn, HeldOutSets, draw, find_lungs, held_out
from models.recipes.pneumoconiosis_training import Run, train_lungs, train_zones
from models.training.fit import Places

_SENSITIVE, _SPECIFIC = 0.95, 0.95


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Networks:
    """The lung finder and the zone reader of a package."""

    lungs: LungUNet
    zones: ZoneReader


def make_package(packages_folder: Path, recipe: PneumoconiosisRecipe, *, source: str, places: Places) -> Path:
    """Train and write `<packages_folder>/<name>/<version>`; `source` names the recipe file in the manifest.

    Raises
    ------
    MissingFilmsError
        The recipe names real films that are not there.
    """
    drawn = draw(recipe)
    networks = train(drawn, recipe, places=places)
    lower_cuts(networks.zones, drawn.tuning)
    sets = held_out(recipe, networks.lungs)
    if recipe.findings is None:
        return pack(packages_folder, networks, recipe, drawn, sets, source=source)
    with tempfile.TemporaryDirectory() as scratch:
        find = partial(find_lungs, network=networks.lungs)
        part = make_findings(recipe, find, folder=Path(scratch), places=places)
        return pack(packages_folder, networks, recipe, drawn, sets, source=source, findings=part)


def train(drawn: Drawn, recipe: PneumoconiosisRecipe, *, places: Places) -> Networks:
    """Fit both networks."""
    lungs = train_lungs(
        drawn.lung_films,
        drawn.lung_masks,
        passes=recipe.fit.lungs,
        seed=recipe.seed,
        run=Run(name="lungs", places=places),
    )
    return Networks(lungs=lungs, zones=_train_reader(drawn, recipe, places=places))


def _train_reader(drawn: Drawn, recipe: PneumoconiosisRecipe, *, places: Places) -> ZoneReader:
    if recipe.ensemble:
        return train_ensemble(drawn.zones, recipe, recipe.ensemble, places=places)
    return train_zones(
        drawn.zones,
        passes=recipe.fit.zones,
        seed=recipe.seed,
        run=Run(name="zones", places=places),
        network=recipe.network,
    )


def pack(
    packages_folder: Path,
    networks: Networks,
    recipe: PneumoconiosisRecipe,
    drawn: Drawn,
    sets: HeldOutSets,
    *,
    source: str,
    findings: FindingsPart | None = None,
) -> Path:
    """Measure both networks on what they have not seen, export and write the package, with `findings` if there are."""
    zones = networks.zones
    doubts = doubts_of(zones, recipe.calibration, drawn.zones, drawn.tuning, sets)
    points = operating_points([read_films(zones, part) for part in drawn.tuning])
    metrics = [*_metrics(networks, recipe, sets, points), *doubts.rows]
    about = _about(recipe, points, doubts, metrics, source=source)
    card = model_card(metrics, points, recipe, doubts.refused, votes=_votes(zones, sets))
    if findings:
        about["parameters"] |= findings.parameters
        about["training"]["metrics"] += findings.metrics
        card = with_findings(card, findings.metrics, findings.parameters)
    with tempfile.TemporaryDirectory() as scratch:
        return write_package(
            packages_folder,
            about,
            graphs={
                **export_graphs(networks.lungs, WithDistances(zones, doubts.gaussians).eval(), folder=Path(scratch)),
                **(findings.graphs if findings else {}),
            },
            licence_text=LICENCE,
            model_card=card,
        )


def _votes(zones: ZoneReader, sets: HeldOutSets) -> str:
    if not isinstance(zones, ZoneEnsemble):
        return ""
    return votes_table(zones, {"scanner-shift": sets.shifted, "in-domain": sets.in_domain}, sets.films)


def _metrics(
    networks: Networks, recipe: PneumoconiosisRecipe, sets: HeldOutSets, points: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the figures under scanner shift first, then in domain, then on real films."""
    phantoms = segmentation_set(HELD_OUT_LUNGS, count=2 * recipe.held_out.bodies)
    return [
        *zone_rows(networks.zones, sets.shifted, condition="scanner-shift"),
        *zone_rows(networks.zones, sets.in_domain, condition="in-domain"),
        *([] if sets.films is None else film_rows(read_films(networks.zones, sets.films), points)),
        *lung_rows(networks.lungs, *phantoms),
    ]


def _about(
    recipe: PneumoconiosisRecipe,
    points: Mapping[str, Mapping[str, Any]],
    doubts: Doubts,
    metrics: list[dict[str, Any]],
    *,
    source: str,
) -> dict[str, Any]:
    about = description(recipe)
    return {
        **about,
        **manifest_sections(doubts.reliability),
        "operating_points": points,
        "parameters": {"pixel_mm": PIXEL_MM, "crop_size": CROP, "cam_full_logit": 10.0, "energy_in_lungs_min": 0.8},
        "training": {
            "recipe": f"python -m models.train {source}",
            "seed": recipe.seed,
            "data": about["trained_on"],
            "metrics": metrics,
        },
    }


def operating_points(readings: list[FilmReadings]) -> dict[str, dict[str, Any]]:
    """Choose thresholds of the film score on tuning films.

    screening keeps 95 % of disease, review_first 95 % of normals; where there are real films, of phantoms and of real
    films both, so that it is the stricter of two.
    """
    thresholds = {
        "screening": min(np.quantile(each.score[each.abnormal], 1 - _SENSITIVE, method="lower") for each in readings),
        "review_first": max(np.quantile(each.score[~each.abnormal], _SPECIFIC, method="higher") for each in readings),
    }
    return {name: _point(round(float(threshold), 4), readings) for name, threshold in thresholds.items()}


def _point(threshold: float, readings: list[FilmReadings]) -> dict[str, Any]:
    scores = np.concatenate([each.score for each in readings])
    abnormal = np.concatenate([each.abnormal for each in readings])
    kinds = " and ".join(f"{len(each.score)} {kind}" for each, kind in zip(readings, _KINDS, strict=False))
    return {
        "threshold": threshold,
        "sensitivity": round(float((scores[abnormal] >= threshold).mean()), 4),
        "specificity": round(float((scores[~abnormal] < threshold).mean()), 4),
        "measured_on": f"{kinds}, for tuning; not patients",
    }


_KINDS = ("phantom films", "real normal films with and without drawn opacities")
