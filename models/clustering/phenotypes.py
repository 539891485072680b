# SPDX-License-Identifier: Apache-2.0
"""Groups images by their features alone, and shows the most typical ones of each group.

A phenotype here is a group of like textures for people to look at and name: label the exemplars, not every patch. It is
no diagnosis, and its number depends on what was asked for.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from models.clustering.embedding import cauchy_beta, make_embedding
from models.clustering.features import Features
from models.clustering.quasi_linear import QuasiLinearClustering
from models.phantoms.preview import save_sheet

UNUSUAL_PERCENT = 1.0
"""Share of images, those that belong least to any group, that are listed as unusual."""
NOTICE = "Groups of similar images, found without labels. Not a diagnosis; not for clinical use."


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Grouping:
    """Images with the group (N,) of each, memberships (N, K), scores (N,) and where they lie (N, p)."""

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    memberships: NDArray[np.float64]
    scores: NDArray[np.float64]
    model: QuasiLinearClustering

    @property
    def unusual(self) -> NDArray[np.intp]:
        """The images that belong least to any group, the strangest first."""
        count = int(np.ceil(len(self.scores) * UNUSUAL_PERCENT / 100))
        return np.argsort(self.scores, kind="stable")[:count]


def group(features: Features, *, groups: int, beta: float | None, seed: int) -> Grouping:
    """Cluster the features; clusters are numbered from the largest to the smallest.

    Parameters
    ----------
    beta
        Of the generator; that of Cauchy tails in the embedding's dimensions where None.
    """
    points = make_embedding(features.values)(features.values)
    model = QuasiLinearClustering(
        groups,
        beta=cauchy_beta(points.shape[1]) if beta is None else beta,
        covariance_type="diag",
        mixing="estimated",
        covariance_floor=1e-3,
        random_state=seed,
    ).fit(points)
    order = np.argsort(-np.bincount(model.labels_, minlength=groups), kind="stable")
    memberships = model.predict_proba(points)[:, order]
    return Grouping(
        points=points,
        labels=memberships.argmax(axis=1),
        memberships=memberships,
        scores=model.score_samples(points),
        model=model,
    )


def exemplars(grouping: Grouping, cases: NDArray[np.str_], *, group: int, count: int) -> list[int]:
    """Return the images that belong most to a group, from as many cases as there are, the most typical first."""
    members = np.flatnonzero(grouping.labels == group)
    centre = np.median(grouping.points[members], axis=0) if len(members) else 0
    apart = np.linalg.norm(grouping.points[members] - centre, axis=1)
    ordered = [int(index) for index in members[np.argsort(apart, kind="stable")]]
    seen: set[str] = set()
    first: list[int] = []
    later: list[int] = []
    for index in ordered:
        (later if str(cases[index]) in seen else first).append(index)
        seen.add(str(cases[index]))
    return (first + later)[:count]


def describe(features: Features, grouping: Grouping, *, count: int) -> dict[str, Any]:
    """Return what is known of each group, as JSON types."""
    groups = grouping.memberships.shape[1]
    told = [_told(features, grouping, group=index, count=count) for index in range(groups)]
    return {
        "notice": NOTICE,
        "origin": features.origin,
        "images": len(features.values),
        "cases": len(set(features.cases.tolist())),
        "beta": grouping.model.beta,
        "dimensions": grouping.points.shape[1],
        "phenotypes": told,
        "unusual": [_image(features, int(index)) for index in grouping.unusual],
        "agreement_with_truth": _agreement(features, grouping),
    }


def _told(features: Features, grouping: Grouping, *, group: int, count: int) -> dict[str, Any]:
    members = grouping.labels == group
    shown = exemplars(grouping, features.cases, group=group, count=count)
    return {
        "phenotype": group + 1,
        "images": int(members.sum()),
        "share": round(float(members.mean()), 4),
        "cases": len(set(features.cases[members].tolist())),
        "mean_membership": round(float(grouping.memberships[members, group].mean()), 4) if members.any() else None,
        "exemplars": [_image(features, index) for index in shown],
    }


def _image(features: Features, index: int) -> dict[str, Any]:
    return {"case": str(features.cases[index]), "image": index}


def _agreement(features: Features, grouping: Grouping) -> dict[str, float] | None:
    """Compare with phantoms' truth; None where there is none."""
    if not all(features.truth.tolist()):
        return None
    return {
        "adjusted_rand": round(float(adjusted_rand_score(features.truth, grouping.labels)), 4),
        "normalised_mutual_information": round(float(normalized_mutual_info_score(features.truth, grouping.labels)), 4),
    }


def write_phenotypes(folder: Path, features: Features, grouping: Grouping, *, count: int) -> dict[str, Any]:
    """Write phenotypes.json, assignments.csv and exemplars.png (a row for each phenotype); return the description."""
    folder.mkdir(parents=True, exist_ok=True)
    told = describe(features, grouping, count=count)
    (folder / "phenotypes.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    with (folder / "assignments.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("case", "image", "phenotype", "membership", "score"))
        writer.writerows(_rows(features, grouping))
    rows = [
        [Image.fromarray(features.images[shown["image"]]) for shown in phenotype["exemplars"]]
        for phenotype in told["phenotypes"]
        if phenotype["exemplars"]
    ]
    save_sheet(rows, folder / "exemplars.png")
    return told


def _rows(features: Features, grouping: Grouping) -> list[tuple[str, int, int, str, str]]:
    return [
        (
            str(features.cases[index]),
            index,
            int(label) + 1,
            f"{grouping.memberships[index, label]:.4f}",
            f"{grouping.scores[index]:.4f}",
        )
        for index, label in enumerate(grouping.labels)
    ]
