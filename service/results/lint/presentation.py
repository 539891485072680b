# SPDX-License-Identifier: Apache-2.0
"""Rules for presentation states: outlines where they belong, words on every image, nothing that points nowhere."""

from collections import Counter
from collections.abc import Callable, Iterator

from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from service.domain.result import Outcome
from service.results.overlay.presentation_state import CONTENT_LABELS
from service.results.words.statements import MAX_LABEL
from service.results.words.wording import WORDS, Words

OUTCOMES = {content_label: outcome for outcome, content_label in CONTENT_LABELS.items()}


def is_presentation_state(dataset: Dataset) -> list[str]:
    """SOP class, modality and creation time say: a layer over images, made now (PS3.3 C.11.10)."""
    problems = []
    if dataset.get("SOPClassUID") != GrayscaleSoftcopyPresentationStateStorage:
        problems.append(f"'SOPClassUID' is {dataset.get('SOPClassUID')}, not Grayscale Softcopy Presentation State")
    if dataset.get("Modality") != "PR":
        problems.append(f"'Modality' is {dataset.get('Modality')!r}, not 'PR'")
    if not dataset.get("PresentationCreationDate") or not dataset.get("PresentationCreationTime"):
        problems.append("'PresentationCreationDate' or '-Time' is missing or empty")
    return problems


def words_say_which_state(dataset: Dataset) -> list[str]:
    """A text on every image says in one language which of the four states this is, as the content label does."""
    outcome = OUTCOMES.get(str(dataset.get("ContentLabel", "")))
    if outcome is None:
        return [f"'ContentLabel' is {dataset.get('ContentLabel')!r}, none of {', '.join(OUTCOMES)}"]
    said = " ".join(str(item.get("UnformattedTextValue", "")) for item in _texts(dataset, on_every_image=True))
    unsaid = min(([each for each in _wanted(outcome, words) if each not in said] for words in WORDS.values()), key=len)
    problems = [f"no text on every image says '{sentence}'" for sentence in unsaid]
    if outcome in {Outcome.NOT_ANALYSED, Outcome.NO_FINDINGS} and _outlines(dataset):
        problems.append(f"there is an outline, but the content label is '{dataset.ContentLabel}'")
    return problems


def _wanted(outcome: Outcome, words: Words) -> list[str]:
    refusal = [words.not_negative_sentence] if outcome is Outcome.NOT_ANALYSED else []
    return [f"AI {words.outcomes[outcome]}", words.research_banner, *refusal]


def images_are_listed(dataset: Dataset) -> list[str]:
    """Each image that an item refers to is one that the state applies to (PS3.3 C.11.11)."""
    listed = Counter(images(dataset))
    problems = [f"image {uid} is listed {count} times" for uid, count in listed.items() if count > 1]
    sequences = ("GraphicAnnotationSequence", "DisplayedAreaSelectionSequence", "SoftcopyVOILUTSequence")
    named = {
        (keyword, str(reference.ReferencedSOPInstanceUID))
        for keyword in sequences
        for item in dataset.get(keyword) or []
        for reference in item.get("ReferencedImageSequence") or []
    }
    problems += [f"'{keyword}' refers to {uid}, which is not listed" for keyword, uid in named if uid not in listed]
    return problems if listed else ["'ReferencedSeriesSequence' names no image"]


def each_image_has_one_area(dataset: Dataset) -> list[str]:
    """All of each image is shown, counted from 1 (PS3.3 C.10.4)."""
    areas = dataset.get("DisplayedAreaSelectionSequence") or []
    corners = [list(area.DisplayedAreaTopLeftHandCorner) for area in areas]
    problems = [f"a displayed area begins at {corner}, not at [1, 1]" for corner in corners if corner != [1, 1]]
    counts = Counter(uid for area in areas for uid in _of(area, dataset))
    return problems + [
        f"image {uid} has {counts[uid]} displayed areas; it needs one" for uid in images(dataset) if counts[uid] != 1
    ]


def outlines_lie_on_their_image(dataset: Dataset) -> list[str]:
    """Each outline is closed, and within the image that it is drawn on."""
    problems = []
    for annotation, outline in _outlines(dataset):
        values = [float(value) for value in outline.GraphicData]
        points = list(zip(values[0::2], values[1::2], strict=True))
        if outline.GraphicType != "POLYLINE" or outline.GraphicAnnotationUnits != "PIXEL" or len(points) < 4:
            problems.append("an outline is not a POLYLINE of at least four points in pixels")
        if outline.NumberOfGraphicPoints != len(points) or points[:1] != points[-1:]:
            problems.append("an outline is not closed, or does not have as many points as it says")
        for uid in _of(annotation, dataset):
            columns, rows = _size(dataset, uid)
            if min(values) < 0 or max(values[0::2]) > columns or max(values[1::2]) > rows:
                problems.append(f"an outline leaves its image of {columns} columns and {rows} rows")
    return problems


def outlines_are_tracked_and_named(dataset: Dataset) -> list[str]:
    """Each outline has a tracking identifier of its own, and a caption of at most 64 characters beside it."""
    uids = Counter(str(outline.get("TrackingUID", "")) for _, outline in _outlines(dataset))
    problems = [f"tracking UID {uid!r} is used {count} times" for uid, count in uids.items() if count > 1 or not uid]
    for annotation, _ in _outlines(dataset):
        captions = [str(item.get("UnformattedTextValue", "")) for item in annotation.get("TextObjectSequence") or []]
        if len(captions) != 1 or not 0 < len(captions[0]) <= MAX_LABEL:
            problems.append("an outline does not have one caption of 1 to 64 characters")
    return problems


def layers_exist(dataset: Dataset) -> list[str]:
    """Each annotation lies on a layer that there is, and layers have an order."""
    layers = [
        (str(layer.GraphicLayer), int(layer.GraphicLayerOrder)) for layer in dataset.get("GraphicLayerSequence") or []
    ]
    names, orders = {name for name, _ in layers}, [order for _, order in layers]
    used = {str(item.get("GraphicLayer", "")) for item in dataset.get("GraphicAnnotationSequence") or []}
    problems = [f"graphic layer {name!r} is used but not described" for name in used - names]
    problems += [f"graphic layer {name!r} has nothing on it" for name in names - used]
    return problems if len(orders) == len(set(orders)) else [*problems, "two graphic layers have the same order"]


def side_fits_the_body_part(dataset: Dataset) -> list[str]:
    """A breast has a side, a chest has none (Laterality is type 2C, PS3.3 C.7.3.1)."""
    part, has_side = dataset.get("BodyPartExamined"), "Laterality" in dataset
    if part not in {"BREAST", "CHEST"}:
        return [f"'BodyPartExamined' is {part!r}; it must be 'BREAST' or 'CHEST'"]
    return (
        [] if has_side == (part == "BREAST") else [f"'Laterality' must {'' if part == 'BREAST' else 'not '}be present"]
    )


def grey_scale_is_complete(dataset: Dataset) -> list[str]:
    """Polarity is said, and each image has at most one VOI (PS3.3 C.11.6, C.11.8)."""
    problems = []
    if dataset.get("PresentationLUTShape") not in {"IDENTITY", "INVERSE"}:
        problems.append(f"'PresentationLUTShape' is {dataset.get('PresentationLUTShape')!r}")
    items = dataset.get("SoftcopyVOILUTSequence") or []
    counts = Counter(uid for item in items for uid in _of(item, dataset))
    return problems + [f"image {uid} has {count} VOI transformations" for uid, count in counts.items() if count > 1]


def images(dataset: Dataset) -> list[str]:
    """Return the images that the state applies to."""
    return [
        str(item.ReferencedSOPInstanceUID)
        for series in dataset.get("ReferencedSeriesSequence") or []
        for item in series.ReferencedImageSequence
    ]


def _of(item: Dataset, dataset: Dataset) -> list[str]:
    """Return the images that an item is about: all when it names none."""
    named = [str(reference.ReferencedSOPInstanceUID) for reference in item.get("ReferencedImageSequence") or []]
    return named or images(dataset)


def _size(dataset: Dataset, uid: str) -> tuple[int, int]:
    areas = [area for area in dataset.DisplayedAreaSelectionSequence if uid in _of(area, dataset)]
    columns, rows = areas[0].DisplayedAreaBottomRightHandCorner
    return int(columns), int(rows)


def _texts(dataset: Dataset, *, on_every_image: bool) -> Iterator[Dataset]:
    for annotation in dataset.get("GraphicAnnotationSequence") or []:
        if on_every_image != ("ReferencedImageSequence" in annotation):
            yield from annotation.get("TextObjectSequence") or []


def _outlines(dataset: Dataset) -> list[tuple[Dataset, Dataset]]:
    return [
        (annotation, outline)
        for annotation in dataset.get("GraphicAnnotationSequence") or []
        for outline in annotation.get("GraphicObjectSequence") or []
    ]


PRESENTATION_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    is_presentation_state,
    words_say_which_state,
    images_are_listed,
    each_image_has_one_area,
    outlines_lie_on_their_image,
    outlines_are_tracked_and_named,
    layers_exist,
    side_fits_the_body_part,
    grey_scale_is_complete,
)
