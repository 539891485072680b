# SPDX-License-Identifier: Apache-2.0
"""What a package's finer graphs add to a view: clusters of calcifications, and a second look at the highest marks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from service.domain.image import Radiograph
from service.pipelines.mammography.anatomy import BreastPicture
from service.pipelines.mammography.fine import FineView, fine_view
from service.pipelines.mammography.kinds import CLUSTERS, SECOND_LOOK
from service.pipelines.mammography.marks import DetectedMark, decoded
from service.pipelines.mammography.scores import sigmoid
from service.ports import Package


def look_closer(
    radiograph: Radiograph, breast: BreastPicture, marks: Sequence[DetectedMark], package: Package
) -> tuple[DetectedMark, ...]:
    """Return the marks with those of clusters, in descending order, the highest with the score of a second look.

    A package whose parameters have neither graph gets its marks back as they are.
    """
    asked = [package.parameters[key] for key in (CLUSTERS, SECOND_LOOK) if key in package.parameters]
    if not asked:
        return tuple(marks)
    percentiles = tuple(asked[0].get("percentiles", package.parameters["percentiles"]))
    spacing = float(asked[0]["pixel_spacing_mm"])
    fine = fine_view(radiograph, breast, spacing_mm=spacing, percentiles=percentiles)
    found = [*marks, *_clusters(fine, package, shape=radiograph.pixels.shape)]
    return _looked_at(fine, sorted(found, key=lambda mark: -mark.score), package)


def _clusters(fine: FineView, package: Package, *, shape: tuple[int, ...]) -> tuple[DetectedMark, ...]:
    if CLUSTERS not in package.parameters:
        return ()
    rows = package.run(CLUSTERS, {"image": fine.tensor[None]})["marks"][0]
    return tuple(decoded(rows, fine.to_radiograph, shape=shape, kinds=("cluster",)))


def _looked_at(fine: FineView, marks: Sequence[DetectedMark], package: Package) -> tuple[DetectedMark, ...]:
    """Ask for the patches around the highest marks in one batch."""
    asked = package.parameters.get(SECOND_LOOK)
    if asked is None or not marks:
        return tuple(marks)
    first, rest = marks[: int(asked["marks"])], marks[int(asked["marks"]) :]
    to_fine = fine.to_radiograph.inverse()
    centres = [to_fine.apply(((mark.box[0] + mark.box[2]) / 2, (mark.box[1] + mark.box[3]) / 2)) for mark in first]
    patches = np.stack([fine.patch(centre, size=int(asked["patch_px"])) for centre in centres])
    logits = package.run(SECOND_LOOK, {"patches": patches[:, None]})["malignancy_logit"]
    looked = [replace(mark, malignancy=sigmoid(float(logit))) for mark, logit in zip(first, logits, strict=True)]
    return (*looked, *rest)
