# SPDX-License-Identifier: Apache-2.0
"""The confusion report as a page of Markdown."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.experiments.lung_patterns.confusion import Recall, Share


def condition_page(
    condition: str, overall: tuple[Share, Share], found: Sequence[Recall], counts: NDArray[np.int64]
) -> Iterator[str]:
    """Yield the lines of one condition: recall by pattern, then the proposed classifier's confusion."""
    yield f"## {condition}"
    yield ""
    yield "| pattern | old | proposed | patches | p |"
    yield "|---|---|---|---|---|"
    for recall in found:
        new, p = recall.new, "-" if np.isnan(recall.p) else f"{recall.p:.3g}"
        yield f"| {_name(recall.pattern)} | {_share(recall.old)} | {_share(new)} | {new.cases} | {p} |"
    yield f"| **all** | {_share(overall[0])} | {_share(overall[1])} | {overall[1].cases} | |"
    yield ""
    yield from _confusion([recall.pattern for recall in found], counts)
    yield ""


def _confusion(patterns: Sequence[str], counts: NDArray[np.int64]) -> Iterator[str]:
    yield "What the proposed package says (columns) of what was drawn (rows), in percent of the row:"
    yield ""
    yield "| | " + " | ".join(str(index) for index in range(1, len(patterns) + 1)) + " |"
    yield "|---" * (len(patterns) + 1) + "|"
    for index, (pattern, row) in enumerate(zip(patterns, counts, strict=True), start=1):
        shares = 100 * row / max(int(row.sum()), 1)
        cells = (f"{share:.0f}" if share >= 0.5 else "" for share in shares)
        yield f"| {index} {_name(pattern)} | " + " | ".join(cells) + " |"


def _name(pattern: str) -> str:
    return pattern.replace("_", " ")


def _share(share: Share) -> str:
    return "-" if not share.cases else f"{share.value:.3f} ({share.low:.2f} to {share.high:.2f})"
