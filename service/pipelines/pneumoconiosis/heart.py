# SPDX-License-Identifier: Apache-2.0
"""The cardiothoracic ratio as a check of the masks: an implausible one means that the heart or a lung was missed."""

from typing import Final

import numpy as np

from service.domain.result import Reason
from service.imaging.masks import bounding_box
from service.pipelines.pneumoconiosis.lungs import Lungs

PLAUSIBLE: Final = (0.30, 0.72)
"""Outside of these lie hardly any adults on a PA film; a package's acceptance profile may say others."""


def cardiothoracic_ratio(lungs: Lungs) -> float:
    """Return the heart's greatest width over the greatest inner width of the chest; 0 without heart or lungs.

    The chest is measured on single rows, from the outer border of one lung to that of the other, as by hand.
    """
    heart = bounding_box(lungs.heart)
    rows = lungs.right.any(axis=1) & lungs.left.any(axis=1)
    if heart is None or not rows.any():
        return 0.0
    both = lungs.both[rows]
    first, last = both.argmax(axis=1), both.shape[1] - both[:, ::-1].argmax(axis=1)
    return float((heart[2] - heart[0]) / np.max(last - first))


def ratio_flags(ratio: float, plausible: tuple[float, float] = PLAUSIBLE) -> tuple[Reason, ...]:
    """Flag a ratio outside the plausible range; it is a doubt about the masks and no finding of the heart."""
    low, high = plausible
    if low <= ratio <= high:
        return ()
    message = (
        f"heart over chest width measures {ratio:.2f}, outside {low:g} to {high:g}: heart or lungs may be outlined "
        "wrongly, look at the zones' boxes; this is a check of the outlines, not a finding of the heart"
    )
    return (Reason(code="cardiothoracic_ratio", message=message),)
