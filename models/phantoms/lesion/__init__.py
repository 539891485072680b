# SPDX-License-Identifier: Apache-2.0
"""Procedural three-dimensional lesions in their surroundings, each with its exact mask."""

from models.phantoms.lesion.draw import DrawnLesion, draw_lesion
from models.phantoms.lesion.kinds import KINDS, LesionPhantom, random_lesion_phantom

__all__ = ["KINDS", "DrawnLesion", "LesionPhantom", "draw_lesion", "random_lesion_phantom"]
