# SPDX-License-Identifier: Apache-2.0
"""A site's data: a folder of images joined with labels.csv, with everything that is left out counted and named."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.data.folder import Folder, FoundImage, images_of, walk
from models.data.images import pixel_hash, radiograph
from models.data.labels import LabelRow, Line, read_labels
from models.data.problem import DataError
from service.domain.errors import DicomStructureError, PixelError
from service.domain.image import Radiograph

Words = Annotated[tuple[str, ...], Field(min_length=1)]


class SiteSettings(BaseModel):
    """SITE.yaml: where images and labels lie (relative to the file), and which labels of which target are positive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    folder: Path
    labels: Path
    target: str
    positive: Words
    negative: Words
    views: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """An image with what is known of it; `pixels_sha256` is None until `without_duplicates` has read the pixels."""

    image: FoundImage
    patient: str
    positive: bool
    site: str
    manufacturer: str
    view: str
    laterality: str
    kind: str
    pixel_size_mm: float | None
    split: str
    lines: tuple[int, ...]
    pixels_sha256: str | None = None

    def open(self) -> Radiograph:
        """Decode it now; nothing is kept."""
        return radiograph(self.image.path, pixel_size_mm=self.pixel_size_mm)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An image, a file or a row of labels that is not used, and why."""

    what: str
    reason: str


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SiteData:
    """The images that are used and everything that is not."""

    name: str
    images: tuple[LabelledImage, ...]
    left_out: tuple[LeftOut, ...]

    def summary(self) -> str:
        """Say how many, the prevalence by site, and what was left out why."""
        return "\n".join(_summary(self))


def read_settings(path: Path) -> SiteSettings:
    """Read SITE.yaml; relative paths are taken from its folder.

    Raises
    ------
    DataError
        It is no YAML, or keys are missing, unknown or wrong; all are named.
    """
    try:
        settings = SiteSettings.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise DataError(f"{path}: {told}; known keys are {', '.join(SiteSettings.model_fields)}") from error
    both = set(settings.positive) & set(settings.negative)
    if both:
        raise DataError(f"{path}: label {', '.join(sorted(both))} is both positive and negative; keep it in one")
    here = path.parent
    return settings.model_copy(update={"folder": here / settings.folder, "labels": here / settings.labels})


def load_site(path: Path, *, step: Callable[[], object] = lambda: None) -> SiteData:
    """Join a site's labels with its images; pixels are not read.

    Raises
    ------
    DataError, LabelsError
        The settings, the folder or the labels cannot be used, or no image is left.
    """
    settings = read_settings(path)
    lines = read_labels(settings.labels)
    data = join(settings, lines, walk(settings.folder, step=step))
    if not data.images:
        raise DataError(f"{path}: no image is left to use\n{data.summary()}")
    return data


def join(settings: SiteSettings, lines: Sequence[Line], folder: Folder) -> SiteData:
    """Give every image its label; rows of several readers are one label by majority."""
    found = folder.by_key()
    wanted = [line for line in lines if line.row.target == settings.target]
    told: dict[Path, list[tuple[FoundImage, Line]]] = defaultdict(list)
    left_out = [LeftOut(what=bad.file, reason=f"unreadable: {bad.reason}") for bad in folder.unreadable]
    for line in wanted:
        matching = images_of(line.row, found)
        if not matching:
            left_out.append(LeftOut(what=f"line {line.number}", reason="labelled, and no such image in the folder"))
        for image in matching:
            told[image.path].append((image, line))
    unlabelled = (image.file for image in folder.images if image.path not in told)
    left_out.extend(LeftOut(what=file, reason=f"no label for target '{settings.target}'") for file in unlabelled)
    judged = [_judge(settings, entries[0][0], [line for _, line in entries]) for entries in told.values()]
    left_out.extend(each for each in judged if isinstance(each, LeftOut))
    images = tuple(each for each in judged if isinstance(each, LabelledImage))
    return SiteData(name=settings.name, images=images, left_out=tuple(left_out))


def _judge(settings: SiteSettings, image: FoundImage, lines: list[Line]) -> LabelledImage | LeftOut:
    rows = [line.row for line in lines]
    first, positives = rows[0], sum(row.label in settings.positive for row in rows)
    reason = _why_not(settings, first.view or image.view, rows, positives)
    if reason:
        return LeftOut(what=image.file, reason=reason)
    return LabelledImage(
        image=image,
        patient=first.patient_id_hash,
        positive=2 * positives > len(rows),
        site=first.site or settings.name,
        manufacturer=first.manufacturer or image.manufacturer,
        view=first.view or image.view,
        laterality=first.laterality or image.laterality,
        kind=first.ilo_profusion or "",
        pixel_size_mm=first.pixel_size_mm,
        split=first.split or "",
        lines=tuple(line.number for line in lines),
    )


def _why_not(settings: SiteSettings, view: str, rows: list[LabelRow], positives: int) -> str:
    """Return why an image is not used, "" when it is."""
    excluded = [row.exclude_reason for row in rows if row.exclude_reason]
    if excluded:
        return f"excluded: {excluded[0]}"
    unknown = sorted({row.label for row in rows} - {*settings.positive, *settings.negative})
    if unknown:
        return f"label {', '.join(unknown)} is neither positive nor negative"
    if settings.views and view not in settings.views:
        return f"view {view or 'unknown'} is not one of {', '.join(settings.views)}"
    if len({row.patient_id_hash for row in rows}) > 1:
        return "its rows name different patients"
    return "readers are split evenly" if 2 * positives == len(rows) else ""


def without_duplicates(data: SiteData, *, step: Callable[[], object] = lambda: None) -> SiteData:
    """Read all pixels, one image after the other, and leave out those that cannot be read or come twice.

    Of the same pixels of one patient the first is kept; under two patients, or with two labels, none is.
    """
    kept: dict[str, list[LabelledImage]] = defaultdict(list)
    left_out = list(data.left_out)
    for image in data.images:
        try:
            kept[pixel_hash(image.image.path)].append(image)
        except (DataError, DicomStructureError, PixelError) as error:
            left_out.append(LeftOut(what=image.image.file, reason=f"unreadable: {' '.join(str(error).split())[:300]}"))
        step()
    images = []
    for digest, same in kept.items():
        torn = len({(image.patient, image.positive) for image in same}) > 1
        images.extend([] if torn else [replace(same[0], pixels_sha256=digest)])
        rule = "the same pixels under two patients or labels" if torn else f"the same pixels as {same[0].image.file}"
        left_out.extend(LeftOut(what=image.image.file, reason=rule) for image in (same if torn else same[1:]))
    return SiteData(name=data.name, images=tuple(images), left_out=tuple(left_out))


def unreadable(data: SiteData) -> tuple[LeftOut, ...]:
    """Return what could not be read."""
    return tuple(out for out in data.left_out if out.reason.startswith("unreadable"))


def _summary(data: SiteData) -> Iterator[str]:
    positives = sum(image.positive for image in data.images)
    patients = len({image.patient for image in data.images})
    share = _share(positives, len(data.images))
    yield f"{data.name}: {len(data.images)} images of {patients} patients, {share} positive"
    for site in sorted({image.site for image in data.images}):
        own = [image for image in data.images if image.site == site]
        yield f"  site {site}: {len(own)} images, {_share(sum(image.positive for image in own), len(own))} positive"
    yield f"{len(data.left_out)} left out"
    for reason, count in Counter(_short(out.reason) for out in data.left_out).most_common():
        yield f"  {count} x {reason}"


def _short(reason: str) -> str:
    """Drop what names one file, so that reasons can be counted."""
    return "the same pixels as another image" if reason.startswith("the same pixels as") else reason


def _share(count: int, total: int) -> str:
    return f"{count} ({count / total:.1%})" if total else "0"
