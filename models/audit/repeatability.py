# SPDX-License-Identifier: Apache-2.0
"""Do members of an ensemble, or trainings with other seeds, explain the same image in the same way."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from scipy.stats import spearmanr

from models.audit.checks import Check, not_made, similarity
from models.audit.subject import Explain, Maps, Samples, Targets

LEAST_SIMILAR = 0.5
"""Mean similarity of the maps of two trainings that is wanted."""
_NAME = "repeatability"


def check_repeatability(members: Mapping[str, Explain], samples: Samples, targets: Targets) -> Check:
    """Compare the maps of every pair of members on the same samples and targets."""
    if len(members) < 2:
        return not_made(_NAME, "there is one training only; name packages of other members or seeds with --against")
    maps = {name: member(samples.inputs, targets).maps for name, member in members.items()}
    if len({found.shape for found in maps.values()}) > 1:
        return not_made(_NAME, "the maps have different sizes")
    pairs = list(combinations(maps, 2))
    alike = [float(similarity(maps[first], maps[second]).mean()) for first, second in pairs]
    ranked = [_rank_correlation(maps[first], maps[second]) for first, second in pairs]
    return Check(
        name=_NAME,
        passed=bool(np.mean(alike) >= LEAST_SIMILAR),
        sentence=f"mean SSIM {np.mean(alike):.2f}, mean rank correlation {np.mean(ranked):.2f} over {len(pairs)} pairs "
        f"of {len(members)} trainings; an SSIM of {LEAST_SIMILAR} is wanted",
        values={
            f"{first} / {second}": {"ssim": round(ssim, 4), "rank_correlation": round(rank, 4)}
            for (first, second), ssim, rank in zip(pairs, alike, ranked, strict=True)
        },
    )


def _rank_correlation(first: Maps, second: Maps) -> float:
    """Return Spearman's correlation over cells, averaged over samples; a flat map correlates with nothing."""
    found = [
        float(spearmanr(one, other, axis=None).statistic) if np.ptp(one) and np.ptp(other) else 0.0
        for one, other in zip(first, second, strict=True)
    ]
    return float(np.mean(found))
