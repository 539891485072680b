# SPDX-License-Identifier: Apache-2.0
"""Rules for reports: what OHIF, Stone, Slicer and Horos need, and defects that no public validator finds."""

from collections import Counter
from collections.abc import Callable, Iterator

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from service.results.lint.every_object import CODE_VALUE, MEANING, SCHEME, text

Concept = tuple[str, str, str]
CONCEPT_NAME, CONTENT = Tag("ConceptNameCodeSequence"), Tag("ContentSequence")

CLASSES = (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage)
"""The SOP classes of the TID 1500 report. Stone draws Comprehensive SR alone, which is what it is offered first."""

TITLE: Concept = ("126000", "DCM", "Imaging Measurement Report")
LIBRARY: Concept = ("111028", "DCM", "Image Library")
LIBRARY_GROUP: Concept = ("126200", "DCM", "Image Library Group")
MEASUREMENTS: Concept = ("126010", "DCM", "Imaging Measurements")
GROUP: Concept = ("125007", "DCM", "Measurement Group")
TRACKING_IDENTIFIER: Concept = ("112039", "DCM", "Tracking Identifier")
TRACKING_UID: Concept = ("112040", "DCM", "Tracking Unique Identifier")
FINDING: Concept = ("121071", "DCM", "Finding")
REGION: Concept = ("111030", "DCM", "Image Region")
ORIGINAL_SOURCE: Concept = ("111040", "DCM", "Original Source")
PURPOSE: Concept = ("130400", "DCM", "Geometric purpose of region")
PRESENCE: Concept = ("121052", "DCM", "Presence of property")
COMMENT: Concept = ("121106", "DCM", "Comment")
ALGORITHM: tuple[Concept, ...] = (("111001", "DCM", "Algorithm Name"), ("111003", "DCM", "Algorithm Version"))
PERCENT_NAMES = frozenset({"111011", "111012", "111047"})
STATE = {"CompletionFlag": "COMPLETE", "PreliminaryFlag": "PRELIMINARY", "VerificationFlag": "UNVERIFIED"}


def is_measurement_report(dataset: Dataset) -> list[str]:
    """A class that can hold outlines, TID 1500, the one title that OHIF takes."""
    problems = []
    if dataset.get("SOPClassUID") not in CLASSES:
        problems.append(f"'SOPClassUID' is {dataset.get('SOPClassUID')}, not a class of SR that can hold outlines")
    if concept(dataset) != TITLE:
        problems.append(f"the title is {concept(dataset)}, not {TITLE}")
    if template(dataset) != "1500":
        problems.append(f"the root template is {template(dataset)!r}, not '1500'")
    return problems


def state_is_unverified(dataset: Dataset) -> list[str]:
    """The document is complete, preliminary and unverified: no person has signed it."""
    return [
        f"'{keyword}' is {dataset.get(keyword)!r}, not {value!r}"
        for keyword, value in STATE.items()
        if dataset.get(keyword) != value
    ]


def has_image_library_with_group(dataset: Dataset) -> list[str]:
    """OHIF reads the images from a group in the library."""
    groups = [group for library in children(dataset, LIBRARY) for group in children(library, LIBRARY_GROUP)]
    return [] if any(children(group) for group in groups) else ["there is no Image Library with an Image Library Group"]


def has_measurement_groups(dataset: Dataset) -> list[str]:
    """At least one group of template 1410 stands in Imaging Measurements, by exactly these meanings."""
    groups = measurement_groups(dataset)
    if not groups:
        return ["there is no Measurement Group in Imaging Measurements"]
    return [f"a group has template {template(group)!r}, not '1410'" for group in groups if template(group) != "1410"]


def tracking_is_unique(dataset: Dataset) -> list[str]:
    """Each group has an identifier and a UID of its own, and the UID is its first UIDREF."""
    problems = []
    uids = Counter(str(item.UID) for group in measurement_groups(dataset) for item in children(group, TRACKING_UID))
    problems += [f"tracking UID {uid} is used {count} times" for uid, count in uids.items() if count > 1]
    for group in measurement_groups(dataset):
        references = [item for item in children(group) if item.get("ValueType") == "UIDREF"]
        if not references or concept(references[0]) != TRACKING_UID:
            problems.append("the first UIDREF of a group is not its Tracking Unique Identifier")
        if not children(group, TRACKING_IDENTIFIER):
            problems.append("a group has no Tracking Identifier")
    return problems


def groups_are_anchored(dataset: Dataset) -> list[str]:
    """Each group has one region on exactly one image; OHIF stops at any other."""
    return [problem for group in measurement_groups(dataset) for problem in _anchor_problems(group)]


def _anchor_problems(group: Dataset) -> list[str]:
    regions = [item for item in children(group) if item.get("ValueType") == "SCOORD"]
    if len(regions) != 1 or concept(regions[0]) != REGION:
        return ["a group does not have exactly one Image Region"]
    images = children(regions[0])
    if len(images) != 1 or concept(images[0]) != ORIGINAL_SOURCE:
        return ["a region is not selected from exactly one image named Original Source (111040, DCM)"]
    problems = [] if children(group, PURPOSE) else ["a group has no Geometric purpose of region"]
    return problems + _outline_problems(regions[0])


def _outline_problems(region: Dataset) -> list[str]:
    values = [float(value) for value in region.GraphicData]
    if region.GraphicType != "POLYLINE" or len(values) < 8 or len(values) % 2:
        return ["a region is not a POLYLINE of at least four points"]
    xs, ys = values[0::2], values[1::2]
    problems = [] if (xs[0], ys[0]) == (xs[-1], ys[-1]) else ["an outline is not closed"]
    if min(max(xs) - min(xs), max(ys) - min(ys)) < 0.999:  # stored as 32-bit numbers
        problems.append("an outline is smaller than one pixel")
    if min(values) < 0:
        problems.append("an outline leaves the image")
    return problems


def groups_say_what_and_who(dataset: Dataset) -> list[str]:
    """Each group names its finding, whether it is there, and the algorithm (TID 4019)."""
    needed = (FINDING, PRESENCE, *ALGORITHM)
    return [
        f"a group has no '{name[2]}'"
        for group in measurement_groups(dataset)
        for name in needed
        if not children(group, name)
    ]


def labels_are_short(dataset: Dataset) -> list[str]:
    """Each group has one label of at most 64 characters, which viewers print beside the outline."""
    problems = []
    for group in measurement_groups(dataset):
        labels = [str(item.get("TextValue", "")) for item in children(group, COMMENT)]
        if len(labels) != 1 or not 0 < len(labels[0]) <= 64:
            problems.append("a group does not have one label of 1 to 64 characters (121106, DCM, Comment)")
    return problems


def numbers_have_units(dataset: Dataset) -> list[str]:
    """Each number has a unit, and certainty and probability lie in 0 to 100 percent."""
    problems = []
    for item in content_items(dataset):
        if item.get("ValueType") != "NUM":
            continue
        measured = item.MeasuredValueSequence[0]
        if "MeasurementUnitsCodeSequence" not in measured:
            problems.append(f"number {concept(item)[2]!r} has no unit")
        if concept(item)[0] in PERCENT_NAMES and not 0 <= float(measured.NumericValue) <= 100:
            problems.append(f"{concept(item)[2]!r} is {measured.NumericValue}, outside 0 to 100 %")
    return problems


def evidence_is_complete(dataset: Dataset) -> list[str]:
    """Everything referenced is listed as evidence exactly once."""
    series = [entry for study in _evidence(dataset) for entry in study.ReferencedSeriesSequence]
    listed = Counter(str(item.ReferencedSOPInstanceUID) for entry in series for item in entry.ReferencedSOPSequence)
    problems = [f"evidence lists {uid} {count} times" for uid, count in listed.items() if count > 1]
    return problems + [f"{uid} is referenced but is no evidence" for uid in references_of(dataset) if uid not in listed]


def evidence_starts_with_sources(dataset: Dataset) -> list[str]:
    """The series of the source images is the first of the evidence (Slicer)."""
    series = [entry for study in _evidence(dataset) for entry in study.ReferencedSeriesSequence]
    first = {str(item.ReferencedSOPInstanceUID) for entry in series[:1] for item in entry.ReferencedSOPSequence}
    if first & set(_region_images(dataset)):
        return []
    return ["the first series of the evidence holds no image that a finding stands on"]


def relationships_resolve(dataset: Dataset) -> list[str]:
    """A reference by content item identifier leads to an item (PS3.3 C.18.8); no validator checks that."""
    problems = []
    for item in content_items(dataset):
        path = item.get("ReferencedContentItemIdentifier")
        if path is not None and item_at(dataset, [path] if isinstance(path, int) else list(path)) is None:
            problems.append(f"content item {path} is referenced but does not exist")
    return problems


def has_comment(dataset: Dataset) -> list[str]:
    """The result line stands in the document for viewers that show text only."""
    return [] if children(dataset, COMMENT) else ["the document has no Comment with the result line"]


def children(item: Dataset, name: Concept | None = None) -> list[Dataset]:
    """Return the content items below, those of one name when it is given."""
    below = list(item[CONTENT].value or ()) if CONTENT in item else []
    return below if name is None else [child for child in below if concept(child) == name]


def content_items(dataset: Dataset) -> Iterator[Dataset]:
    """Yield every content item, parents first."""
    for child in children(dataset):
        yield child
        yield from content_items(child)


def measurement_groups(dataset: Dataset) -> list[Dataset]:
    """Return the measurement groups of the document."""
    return [group for container in children(dataset, MEASUREMENTS) for group in children(container, GROUP)]


def concept(item: Dataset) -> Concept:
    """Return the name of a content item; empty strings when it has none."""
    names = item[CONCEPT_NAME].value if CONCEPT_NAME in item else ()
    if not names:
        return "", "", ""
    return text(names[0], CODE_VALUE), text(names[0], SCHEME), text(names[0], MEANING)


def template(item: Dataset) -> str:
    """Return the template identifier of a container; "" when it has none or it is not DICOM's."""
    names = item.get("ContentTemplateSequence") or [Dataset()]
    return str(names[0].get("TemplateIdentifier", "")) if names[0].get("MappingResource") == "DCMR" else ""


def _evidence(dataset: Dataset) -> list[Dataset]:
    return list(dataset.get("CurrentRequestedProcedureEvidenceSequence") or [])


def references_of(dataset: Dataset) -> list[str]:
    """Return the UIDs of the instances that the content refers to, each once."""
    items = [item for item in content_items(dataset) if item.get("ValueType") in {"IMAGE", "COMPOSITE"}]
    return list(dict.fromkeys(str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in items))


def _region_images(dataset: Dataset) -> list[str]:
    regions = [item for group in measurement_groups(dataset) for item in children(group, REGION)]
    images = [image for region in regions for image in children(region)]
    return [str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for image in images]


def item_at(dataset: Dataset, path: list[int]) -> Dataset | None:
    """Return the item at a place, counted from the root, whose own is 1; None when there is none (PS3.3 C.18.8)."""
    item = dataset
    for position in path[1:]:
        below = children(item)
        if not 1 <= position <= len(below):
            return None
        item = below[position - 1]
    return item if path[:1] == [1] else None


REPORT_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    is_measurement_report,
    state_is_unverified,
    has_image_library_with_group,
    has_measurement_groups,
    tracking_is_unique,
    groups_are_anchored,
    groups_say_what_and_who,
    labels_are_short,
    numbers_have_units,
    evidence_is_complete,
    evidence_starts_with_sources,
    relationships_resolve,
    has_comment,
)
