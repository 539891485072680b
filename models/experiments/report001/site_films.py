# SPDX-License-Identifier: Apache-2.0
"""A site's own films in the experiment's form, decoded one after the other and kept small."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from models.data.site import LabelledImage
from models.experiments.report001.films import PATCH_MM, FilmSet, OneFilm, load_films, prepare_film, save_films, stack
from service.domain.image import Radiograph
from service.inference.package import LoadedPackage
from service.pipelines.pneumoconiosis.lungs import resample_film


def site_films(
    folder: Path, images: Sequence[LabelledImage], *, package: LoadedPackage, step: Callable[[], object]
) -> FilmSet:
    """Return the films of `images`, decoded once by the node's own code and then read from `folder`.

    A film whose pixel size is unknown has no patches.
    """
    described = json.dumps(
        [
            [image.pixels_sha256 or image.image.file, image.patient, image.positive, image.site, image.pixel_size_mm]
            for image in images
        ]
        + [package.identity.sha256]
    )
    path = folder / f"site-{hashlib.sha256(described.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        save_films(path, _decoded(images, package=package, step=step))
    return load_films(path)


def _decoded(images: Sequence[LabelledImage], *, package: LoadedPackage, step: Callable[[], object]) -> FilmSet:
    films: list[OneFilm] = []
    for image in images:
        films.append(one_film(image.open(), package=package))
        step()
    return stack(
        films,
        labels=[image.positive for image in images],
        patients=[image.patient for image in images],
        sites=[image.site for image in images],
        kinds=[image.kind if image.positive else "" for image in images],
    )


def one_film(radiograph: Radiograph, *, package: LoadedPackage) -> OneFilm:
    """Bring one radiograph to 1 mm, where its pixel size is known, and to the experiment's form."""
    spacing = radiograph.pixel_spacing_mm
    if spacing is None:
        return prepare_film(radiograph.pixels, None, package=package)
    film = resample_film(radiograph, spacing_mm=spacing, pixel_mm=PATCH_MM)
    return prepare_film(film.pixels, PATCH_MM, package=package)
