# SPDX-License-Identifier: Apache-2.0
"""FROC figures: lesion sensitivity against false marks per view, a curve with its band for each condition."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from models.experiments.mammography.curves import FALSE_MARKS, Banded

_COLOURS = ("#b2182b", "#2166ac", "#1b7837", "#762a83")


def draw_froc(panels: Mapping[str, Mapping[str, Banded]], path: Path) -> None:
    """Write the figure as PNG: a panel for each kind of lesion, in it a curve for each condition or reader."""
    figure = Figure(figsize=(1.5 + 3.6 * len(panels), 3.8), dpi=100, layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, (title, curves) in zip(axes, panels.items(), strict=True):
        for (name, curve), colour in zip(curves.items(), _COLOURS, strict=False):
            panel.plot(FALSE_MARKS, curve.value, color=colour, label=name)
            panel.fill_between(FALSE_MARKS, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
        panel.set(xscale="log", xlabel="false marks per view", ylim=(0, 1), xlim=(0.01, 4))
        panel.set_title(title, fontsize=9)
        panel.grid(visible=True, which="both", alpha=0.3)
    axes[0].set_ylabel("lesion sensitivity")
    axes[-1].legend(loc="lower right", fontsize=8)
    figure.suptitle("Phantoms; a mark hits when its centre lies in a lesion of its kind", fontsize=9)
    figure.savefig(path, metadata={"Software": None})
