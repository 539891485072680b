# SPDX-License-Identifier: Apache-2.0
"""Films without anatomy, of three sites, for tests of the experiment's arithmetic."""

import numpy as np

from models.experiments.report001.films import FilmSet


def make_films(*, site_tone=0.3, disease=0.0, seed=1, counts=((10, 2), (5, 5), (0, 10))):
    """Return noise films: `site_tone` brightens each site's, `disease` those with disease; two films a patient."""
    rng = np.random.default_rng(seed)
    labels, sites = [], []
    for site, (positive, normal) in zip("ABC", counts, strict=True):
        labels += [True] * positive + [False] * normal
        sites += [site] * (positive + normal)
    labels, sites = np.array(labels), np.array(sites)
    films = rng.uniform(0.2, 0.4, (len(labels), 224, 224)).astype(np.float32)
    films += (site_tone * np.searchsorted(["A", "B", "C"], sites) / 2 + disease * labels)[:, None, None].astype(
        np.float32
    )
    lungs = np.zeros(films.shape, dtype=np.bool_)
    lungs[:, 60:160, 40:180] = True
    patches = films[:, :64, :64].repeat(2, axis=0)
    return FilmSet(
        films=films,
        lungs=lungs,
        labels=labels,
        patients=np.array([f"patient-{number // 2:03d}" for number in range(len(labels))]),
        sites=sites,
        kinds=np.where(labels, "q", ""),
        patches=np.clip(patches, 0, 1),
        patch_film=np.arange(len(labels)).repeat(2),
    )
