# SPDX-License-Identifier: Apache-2.0
"""Does the map lie where it should: inside the anatomy, and on the finding where it is known."""

import numpy as np

from models.audit.checks import Check, by_cell, not_made
from models.audit.subject import Maps, Samples

LEAST_ENERGY = 0.8
"""Share of a map's strength that must lie inside the anatomy; less is the sign of a short cut."""


def check_energy(maps: Maps, samples: Samples, *, masked: bool) -> Check:
    """Measure which share of |map| lies inside lungs or breast; a cell on the border counts by its share inside."""
    name = "energy inside the anatomy"
    if not masked:
        return not_made(name, "the input has no mask: all of it is anatomy")
    strength = np.abs(maps)
    inside = (strength * by_cell(samples.masks, maps.shape[1:])).sum(axis=(1, 2))
    total = strength.sum(axis=(1, 2))
    share = np.divide(inside, total, out=np.ones_like(total), where=total > 0)
    area = float(samples.masks.mean())
    return Check(
        name=name,
        passed=bool(share.mean() >= LEAST_ENERGY),
        sentence=f"{share.mean():.1%} on average, {share.min():.1%} at least, of {len(share)} maps; the anatomy is "
        f"{area:.1%} of the image; at least {LEAST_ENERGY:.0%} is wanted on average",
        values={"mean": round(float(share.mean()), 4), "lowest": round(float(share.min()), 4), "area": round(area, 4)},
    )


def check_pointing(maps: Maps, samples: Samples) -> Check:
    """Play the pointing game (Zhang 2016): is the highest place of the map on the finding more often than by chance."""
    name = "pointing game"
    if samples.truth is None:
        return not_made(name, "nobody knows where the findings of these samples are")
    inside = by_cell(samples.masks, maps.shape[1:]) > 0
    truth = (by_cell(samples.truth & samples.masks, maps.shape[1:]) > 0) & inside
    known = truth.any(axis=(1, 2))
    if not known.any():
        return not_made(name, "no sample has a finding inside the anatomy")
    highest = np.where(inside, maps, -np.inf).reshape(len(maps), -1).argmax(axis=1)
    hits = truth.reshape(len(maps), -1)[np.arange(len(maps)), highest][known]
    chance = (truth.sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1))[known]
    return Check(
        name=name,
        passed=bool(hits.mean() > chance.mean()),
        sentence=f"{hits.mean():.1%} of {len(hits)} maps are highest in a cell of the finding; {chance.mean():.1%} "
        "would be by chance",
        values={"hits": round(float(hits.mean()), 4), "chance": round(float(chance.mean()), 4), "samples": len(hits)},
    )
