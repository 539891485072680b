# SPDX-License-Identifier: Apache-2.0
"""The FROC figure: lesion sensitivity against false marks per view, a curve with its band for each condition."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from models.experiments.mammography.curves import FALSE_MARKS, Banded

_COLOURS = ("#b2182b", "#2166ac", "#1b7837")


def draw_froc(curves: Mapping[str, Banded], path: Path) -> None:
    """Write the figure as PNG."""
    figure = Figure(figsize=(6, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    for (name, curve), colour in zip(curves.items(), _COLOURS, strict=False):
        axes.plot(FALSE_MARKS, curve.value, color=colour, label=name)
        axes.fill_between(FALSE_MARKS, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
    axes.set(xscale="log", xlabel="false marks per view", ylabel="lesion sensitivity", ylim=(0, 1), xlim=(0.01, 4))
    axes.set_title("Phantoms; a mark hits when its centre lies in the mass", fontsize=9)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, metadata={"Software": None})
