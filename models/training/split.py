# SPDX-License-Identifier: Apache-2.0
"""Splits images by body: a patient is on one side with everything, and stays there when more patients come."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def kept_out(bodies: Iterable[str], *, share: float, seed: int) -> NDArray[np.bool_]:
    """Return, for each image, whether its body is one of about `share` of the bodies that are kept out of the fit.

    The side follows from the body's name and the seed alone, not from who else is there.
    """
    return np.array([_place(body, seed) < share for body in bodies], dtype=np.bool_)


def _place(body: str, seed: int) -> float:
    """Return a number in [0, 1) that is the body's own."""
    head = hashlib.sha256(f"{seed}|{body}".encode()).digest()[:8]
    return int.from_bytes(head, "big") / 2**64
