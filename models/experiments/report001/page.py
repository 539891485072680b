# SPDX-License-Identifier: Apache-2.0
"""Tells the experiment's results in Markdown: the table, what the site explains of it, and the augmentation arms."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from models.experiments.report001.arms import ARMS
from models.experiments.report001.cells import WAVELETS, Cell, Design
from models.experiments.report001.films import FilmSet
from models.experiments.report001.measuring import Measured
from models.experiments.report001.statistics import area_difference, area_under_curve, proportion
from models.experiments.report001.table import Row, commonest_site_share, mixed_site

_FAMILIES = {code: family for family, code in WAVELETS.items()}


def as_markdown(films: FilmSet, design: Design, rows: Sequence[Row]) -> str:
    """Return the table; which films, how they were split, and what the columns are, above it."""
    shuffled = rows[0].shuffled.films > 0
    site = mixed_site(films)
    lines = [
        *_about(films, design),
        "",
        f"AUC in site {site}: of its films alone, where the site cannot help. "
        + ("AUC shuffled: the same networks and patients, scanners drawn anew. " if shuffled else "")
        + f"Site read: how often a linear model names the site from the network's features "
        f"(always naming the commonest: {commonest_site_share(films):.2f}).",
        "",
        _line(
            [
                "network",
                "mask",
                "input",
                "accuracy",
                "AUC",
                f"AUC in site {site}",
                *(["AUC shuffled"] * shuffled),
                "site read",
            ]
        ),
        _line(["---"] * (7 + shuffled)),
        *(_line(_columns(row, shuffled=shuffled)) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _about(films: FilmSet, design: Design) -> Iterator[str]:
    patients = len(np.unique(films.patients))
    yield (
        f"{len(films)} films of {patients} patients, {int(films.labels.sum())} with and "
        f"{int((~films.labels).sum())} without disease; {design.size} x {design.size} pixels, {design.epochs} epochs, "
        f"{design.folds} folds by patient, scores of all folds pooled. Intervals are 95 %: Wilson for proportions, "
        "1000 draws of patients for AUC."
    )
    yield ""
    for name in np.unique(films.sites):
        own = films.sites == name
        yield f"* site {name}: {int((films.labels & own).sum())} with, {int((~films.labels & own).sum())} without"


def _columns(row: Row, *, shuffled: bool) -> list[str]:
    return [
        row.cell.network,
        "lungs" if row.cell.masked else "none",
        front(row.cell),
        str(row.accuracy),
        str(row.auc),
        str(row.within_site),
        *([str(row.shuffled)] if shuffled else []),
        f"{row.site_read.value:.2f}",
    ]


def front(cell: Cell) -> str:
    """Return what the network is given, in words."""
    if not cell.wavelet:
        return "raw"
    family = _FAMILIES[cell.wavelet]
    return f"{family}{'' if family == cell.wavelet else f' ({cell.wavelet})'} {cell.band[1]}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def control_markdown(rows: Sequence[Row]) -> str:
    """Return what the same networks reach when they are trained with the scanners shuffled."""
    lines = [
        "Trained with the scanners shuffled (the control): what the films themselves give.",
        "",
        _line(["network", "mask", "accuracy", "AUC", "site read"]),
        _line(["---"] * 5),
    ]
    for row in rows:
        mask = "lungs" if row.cell.masked else "none"
        lines.append(_line([row.cell.network, mask, str(row.accuracy), str(row.auc), f"{row.site_read.value:.2f}"]))
    return "\n".join(lines) + "\n"


def sites_markdown(films: FilmSet, told: Mapping[Cell, Measured | None]) -> str:
    """Return what networks say of a site that they have not seen; None where the rest is of one class."""
    lines = [
        "Leave one site out (raw film, no mask): trained without it, measured on it.",
        "",
        _line(["network", "site", "films + / -", "accuracy", "AUC"]),
        _line(["---"] * 5),
    ]
    for cell, measured in told.items():
        own = films.sites == cell.left_out_site
        labels = films.labels[own]
        counts = f"{int(labels.sum())} / {int((~labels).sum())}"
        if measured is None:
            lines.append(_line([cell.network, cell.left_out_site, counts, "the others are of one class", ""]))
            continue
        scores = np.array(measured["scores"])
        right = proportion((scores > 0.5) == labels)
        area = area_under_curve(scores, labels, films.patients[own])
        lines.append(_line([cell.network, cell.left_out_site, counts, str(right), str(area)]))
    return "\n".join(lines) + "\n"


def kinds_markdown(films: FilmSet, told: Mapping[Cell, Measured]) -> str:
    """Return the AUC by the shape of the opacities (p and s are the finest), each kind against all normals."""
    kinds = [str(kind) for kind in np.unique(films.kinds[films.labels]) if kind]
    if not kinds:
        return ""
    lines = [
        "AUC by primary shape of the opacities, against all normals (trained with the scanners shuffled).",
        "",
        _line(["network", "mask", *(f"{kind} ({int((films.kinds == kind).sum())})" for kind in kinds)]),
        _line(["---"] * (2 + len(kinds))),
    ]
    for cell, measured in told.items():
        scores = np.array(measured["scores"])
        areas = []
        for kind in kinds:
            take = (films.kinds == kind) | ~films.labels
            areas.append(str(area_under_curve(scores[take], films.labels[take], films.patients[take])))
        lines.append(_line([cell.network, "lungs" if cell.masked else "none", *areas]))
    return "\n".join(lines) + "\n"


def arms_markdown(films: FilmSet, told: Mapping[str, Any]) -> str:
    """Return the arms beside training on real patches alone, and how well the GANs imitate."""
    scores = {arm: np.array(told["scores"][arm]) for arm in ARMS}
    seen = np.isfinite(scores[ARMS[0]])
    labels, patients = films.labels[seen], films.patients[seen]
    lines = [
        (
            f"Patches of the lung zones, mean score of a film's patches; {int(seen.sum())} films, "
            f"{int((~seen).sum())} without a patch left out. The difference is paired, by patient."
        ),
        "",
        _line(["training", "AUC", "difference from real alone"]),
        _line(["---"] * 3),
    ]
    for arm in ARMS:
        area = area_under_curve(scores[arm][seen], labels, patients)
        apart = area_difference(scores[arm][seen], scores[ARMS[0]][seen], labels, patients)
        difference = "" if arm == ARMS[0] else f"{apart.value:+.3f} ({apart.low:+.3f} to {apart.high:+.3f})"
        lines.append(_line([arm, str(area), difference]))
    lines += ["", *_imitation(told["imitation"])]
    return "\n".join(lines) + "\n"


def _imitation(folds: Sequence[Mapping[str, float]]) -> Iterator[str]:
    yield (
        "The GANs' patches against real ones, by fold, in features of the network trained on real patches alone "
        "(not Inception's, so these distances compare with no paper's):"
    )
    yield ""
    for number, fold in enumerate(folds, start=1):
        yield (
            f"* fold {number}: Frechet distance {fold['frechet']:.3g} (two halves of the real ones: "
            f"{fold['frechet_real']:.3g}); a linear model tells them apart with AUC {fold['auc']:.3f} "
            f"(two halves: {fold['auc_real']:.3f})"
        )
