# SPDX-License-Identifier: Apache-2.0
"""The figure of Bland and Altman: the error of an extent over its size, a point for each pattern and place."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from models.experiments.lung_extents.agreement import Agreement
from models.experiments.lung_extents.measuring import Compared
from models.phantoms.computed_tomography import PATTERNS

ABNORMAL = PATTERNS[1:]


def draw_agreement(found: Mapping[str, Sequence[Compared]], path: Path) -> None:
    """Write the figure as PNG: a panel for each condition.

    Left out are pairs in which both are 0, and normal lung, which mirrors the others: errors of all patterns of a place
    add up to 0.
    """
    figure = Figure(figsize=(8.5, 3.8), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    colours = colormaps["tab20"](np.linspace(0, 1, len(ABNORMAL)))
    for axes, (condition, chests) in zip(panels, found.items(), strict=True):
        drawn = np.stack([each.drawn[:, 1:] for each in chests])
        read = np.stack([each.smoothed[:, 1:] for each in chests])
        there = (drawn > 0) | (read > 0)
        for index, (pattern, colour) in enumerate(zip(ABNORMAL, colours, strict=True)):
            one, other = drawn[..., index][there[..., index]], read[..., index][there[..., index]]
            axes.scatter((one + other) / 2, other - one, s=7, color=colour, label=pattern.replace("_", " "))
        every = Agreement.of(read[there], drawn[there])
        for height, style in ((every.bias, "-"), (every.low, "--"), (every.high, "--")):
            axes.axhline(height, color="black", linewidth=0.8, linestyle=style)
        numbers = f"bias {every.bias:+.1f}, limits {every.low:+.1f} to {every.high:+.1f}"
        axes.set_title(f"{condition}\n{numbers}", fontsize=9)
        axes.set(xlabel="mean of read and drawn, % of the place", xlim=(0, 100))
        axes.grid(visible=True, alpha=0.3)
    panels[0].set_ylabel("read - drawn, percentage points")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=7)
    figure.savefig(path, metadata={"Software": None})
