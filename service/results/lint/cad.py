# SPDX-License-Identifier: Apache-2.0
"""Rules for CAD reports (PS3.16 TID 4000 and 4100): most of their defects are found by no public validator."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.uid import ChestCADSRStorage, MammographyCADSRStorage

from service.results.lint.report import (
    ALGORITHM,
    LIBRARY,
    TRACKING_IDENTIFIER,
    TRACKING_UID,
    Concept,
    children,
    concept,
    content_items,
    item_at,
    numbers_have_units,
    references_of,
    relationships_resolve,
    state_is_unverified,
    template,
)
from service.results.report.context_groups import members

LANGUAGE: Concept = ("121049", "DCM", "Language of Content Item and Descendants")
SUMMARY: Concept = ("111017", "DCM", "CAD Processing and Findings Summary")
DETECTIONS: Concept = ("111064", "DCM", "Summary of Detections")
ANALYSES: Concept = ("111065", "DCM", "Summary of Analyses")
FINDING: Concept = ("111059", "DCM", "Single Image Finding")
COMPOSITE: Concept = ("111015", "DCM", "Composite Feature")
IMPRESSION: Concept = ("111034", "DCM", "Individual Impression/Recommendation")
INTENT: Concept = ("111056", "DCM", "Rendering Intent")
CENTER: Concept = ("111010", "DCM", "Center")
PERFORMED: tuple[Concept, ...] = (("111022", "DCM", "Detection Performed"), ("111004", "DCM", "Analysis Performed"))
SUCCESSFUL, FAILED = frozenset({"111063", "111062"}), frozenset({"111025", "111024"})
"""Code values of the containers that hold what succeeded and what failed."""
ROWS, COLUMNS = "110910", "110911"

ALL_WITHOUT, ALL_WITH, PART_WITHOUT, PART_WITH, NONE = "111241", "111242", "111243", "111244", "111245"
SUCCEEDED, PARTIALLY, FAILURE, NOT_ATTEMPTED = "111222", "111223", "111224", "111225"
HOLDS = MappingProxyType(
    {
        SUCCEEDED: (True, False),
        PARTIALLY: (True, True),
        FAILURE: (False, True),
        NOT_ATTEMPTED: (False, False),
    }
)
"""Whether a summary of this status holds something that succeeded, and something that failed (TID 4015, 4016)."""

STRENGTH = MappingProxyType({"111150": 2, "111151": 1, "111152": 0})
"""How strongly a rendering intent asks to be shown."""

CHILD, MOD, CONTEXT = "CONTAINS", "HAS CONCEPT MOD", "HAS OBS CONTEXT"
PROPERTY, ACQUISITION, INFERRED = "HAS PROPERTIES", "HAS ACQ CONTEXT", "INFERRED FROM"
LIBRARY_FACTS = [
    "111027",
    "111031",
    "111044",
    "111043",
    "111060",
    "111061",
    "111018",
    "111019",
    "111026",
    "111066",
    "110910",
    "110911",
]
RELATIONSHIPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        **dict.fromkeys(["121049", "111056", "112024", "111032", "272741003"], frozenset({MOD})),
        **dict.fromkeys(["111028", "111017", "111064", "111065", "111022", "111004"], frozenset({CHILD})),
        **dict.fromkeys(["111034", "111063", "111025", "111062", "111024"], frozenset({INFERRED})),
        **dict.fromkeys(["112039", "112040"], frozenset({CONTEXT})),
        **dict.fromkeys(["111012", "111047", "111011", "111010", "111041", "112013"], frozenset({PROPERTY})),
        **dict.fromkeys(["111033", "111016", "111057", "111071", "111072", "111092"], frozenset({PROPERTY})),
        **dict.fromkeys(LIBRARY_FACTS, frozenset({ACQUISITION})),
        "111015": frozenset({CHILD}),
    }
)
"""The relationship of an item to its parent, by concept name, where both reports have the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What one kind of CAD report must be: `groups` are context groups by concept name, any of which will do."""

    title: Concept
    template: str
    library_is_required: bool
    groups: Mapping[str, tuple[int, ...]]
    relationships: Mapping[str, frozenset[str]]


SHARED_GROUPS = {
    "121049": (5000,),
    "111017": (6047,),
    "111064": (6042,),
    "111065": (6042,),
    "111056": (6034,),
}
FORMS: Mapping[str, Form] = MappingProxyType(
    {
        MammographyCADSRStorage: Form(
            title=("111036", "DCM", "Mammography CAD Report"),
            template="4000",
            library_is_required=True,
            groups={
                **SHARED_GROUPS,
                "111059": (6014,),
                "111015": (6016,),
                "111016": (6035,),
                "111057": (6036,),
                "111022": (6014,),
                "111004": (6043,),
                "111027": (6022,),
                "111031": (4014,),
                "111032": (4015,),
                "111035": (6008,),
                "107644003": (6004,),
                "111037": (6006,),
                "111009": (6010,),
                "111008": (6012,),
            },
            relationships={"111059": frozenset({CHILD, INFERRED}), "111001": frozenset({PROPERTY})},
        ),
        ChestCADSRStorage: Form(
            title=("112000", "DCM", "Chest CAD Report"),
            template="4100",
            library_is_required=False,
            groups={
                **SHARED_GROUPS,
                "111059": (6101,),
                "112024": (6102,),
                "111022": (6101, 6102),
                "111004": (6137,),
                "111027": (244,),
                "111031": (4010,),
                "111032": (4011,),
                "112013": (6124,),
                "272741003": (244,),
            },
            relationships={"111059": frozenset({INFERRED}), "111001": frozenset({CONTEXT, PROPERTY})},
        ),
    }
)
"""The two reports by SOP class."""


def is_cad_report(dataset: Dataset) -> list[str]:
    """Title, template and modality are those of the SOP class, and the language is said."""
    form = FORMS[dataset.SOPClassUID]
    problems = []
    if concept(dataset) != form.title:
        problems.append(f"the title is {concept(dataset)}, not {form.title}")
    if template(dataset) != form.template:
        problems.append(f"the root template is {template(dataset)!r}, not {form.template!r}")
    if dataset.get("Modality") != "SR":
        problems.append(f"'Modality' is {dataset.get('Modality')!r}, not 'SR'")
    return problems + ([] if children(dataset, LANGUAGE) else ["the document does not say its language"])


def has_image_library(dataset: Dataset) -> list[str]:
    """There is one library with images: always in mammography, else where something refers to it."""
    libraries = children(dataset, LIBRARY)
    if len(libraries) > 1:
        return [f"there are {len(libraries)} Image Libraries"]
    is_needed = FORMS[dataset.SOPClassUID].library_is_required or any(map(_path, content_items(dataset)))
    return [] if not is_needed or any(map(_images, libraries)) else ["there is no Image Library with an image"]


def has_one_of_each_summary(dataset: Dataset) -> list[str]:
    """Each of the three summaries stands in the root exactly once."""
    counts = {name: len(children(dataset, name)) for name in (SUMMARY, DETECTIONS, ANALYSES)}
    return [f"'{name[2]}' stands in the root {count} times, not once" for name, count in counts.items() if count != 1]


def algorithms_are_named(dataset: Dataset) -> list[str]:
    """Each finding, and each detection and analysis performed, names its algorithm and version (TID 4019)."""
    return [
        f"a '{concept(item)[2]}' has no '{name[2]}'"
        for item in _named(dataset, FINDING, COMPOSITE, *PERFORMED)
        for name in ALGORITHM
        if not children(item, name)
    ]


def cad_tracking_is_unique(dataset: Dataset) -> list[str]:
    """Each finding has a tracking identifier, and a UID that no other has."""
    items = list(_named(dataset, FINDING, COMPOSITE))
    problems = [
        f"a '{concept(item)[2]}' has no '{name[2]}'"
        for item in items
        for name in (TRACKING_IDENTIFIER, TRACKING_UID)
        if not children(item, name)
    ]
    uids = Counter(str(uid.get("UID")) for item in items for uid in children(item, TRACKING_UID))
    return problems + [f"tracking UID {uid} is used {count} times" for uid, count in uids.items() if count > 1]


def intents_are_said(dataset: Dataset) -> list[str]:
    """Each finding, composite and impression has one rendering intent, none weaker than what it holds (PS3.4 O.2.2)."""
    problems = []
    for item in _named(dataset, FINDING, COMPOSITE, IMPRESSION):
        if len(children(item, INTENT)) != 1:
            problems.append(f"a '{concept(item)[2]}' has {len(children(item, INTENT))} rendering intents, not one")
            continue
        held = max((_strength(below) for below in _named(item, FINDING, COMPOSITE)), default=0)
        if held > _strength(item):
            problems.append(f"a '{concept(item)[2]}' is shown less than what it holds, so that a finding is hidden")
    return problems


def findings_have_a_center(dataset: Dataset) -> list[str]:
    """Each finding has exactly one centre, a point (TID 4021, 4107)."""
    problems = []
    for item in _named(dataset, FINDING):
        centers = children(item, CENTER)
        if len(centers) != 1 or centers[0].get("GraphicType") != "POINT":
            problems.append("a Single Image Finding does not have one Center that is a POINT")
    return problems


def coordinates_stand_on_images(dataset: Dataset) -> list[str]:
    """Coordinates are selected from one image of the library, which they do not leave."""
    scoords = [item for item in content_items(dataset) if item.get("ValueType") == "SCOORD"]
    return [problem for item in scoords for problem in _coordinate_problems(dataset, item)]


def _coordinate_problems(dataset: Dataset, item: Dataset) -> list[str]:
    name, below = concept(item)[2], children(item)
    image = _target(dataset, below[0]) if len(below) == 1 else None
    is_selected = image is not None and below[0].get("RelationshipType") == "SELECTED FROM"
    if image is None or not is_selected or image.get("ValueType") != "IMAGE":
        return [f"'{name}' is not selected from exactly one image"]
    return _graphic_problems(item, _bounds(image))


def _graphic_problems(item: Dataset, bounds: tuple[float, float]) -> list[str]:
    name, values = concept(item)[2], [float(value) for value in item.GraphicData]
    xs, ys = values[0::2], values[1::2]
    if len(values) % 2 or len(values) < (2 if item.GraphicType == "POINT" else 8):
        return [f"'{name}' has {len(values)} numbers, which is no {item.GraphicType}"]
    problems = []
    if item.GraphicType == "POINT" and len(values) != 2:
        problems.append(f"'{name}' is a POINT of {len(values)} numbers")
    if item.GraphicType == "POLYLINE" and (xs[0], ys[0]) != (xs[-1], ys[-1]):
        problems.append(f"'{name}' is not closed")
    if min(values) < 0 or max(xs) > bounds[0] or max(ys) > bounds[1]:
        problems.append(f"'{name}' leaves its image of {bounds[0]:g} columns and {bounds[1]:g} rows")
    return problems


def codes_are_in_their_groups(dataset: Dataset) -> list[str]:
    """Each coded value is a member of the context group that the template asks for; no validator checks that."""
    groups = FORMS[dataset.SOPClassUID].groups
    problems = []
    for item in content_items(dataset):
        cids = groups.get(concept(item)[0]) if item.get("ValueType") == "CODE" else None
        if cids is None:
            continue
        value = item.ConceptCodeSequence[0]
        code = (str(value.CodingSchemeDesignator), str(value.CodeValue))
        if not any(code in members(cid) for cid in cids):
            asked = " or ".join(f"CID {cid}" for cid in cids)
            problems.append(f"'{concept(item)[2]}' is ({code[1]}, {code[0]}), which is not in {asked}")
    return problems


def cad_relationships_are_the_templates(dataset: Dataset) -> list[str]:
    """Each item has the relationship to its parent that the template gives it."""
    relationships = {**RELATIONSHIPS, **FORMS[dataset.SOPClassUID].relationships}
    problems = []
    for item in content_items(dataset):
        allowed, actual = relationships.get(concept(item)[0]), str(item.get("RelationshipType", ""))
        if allowed is not None and actual not in allowed:
            problems.append(f"'{concept(item)[2]}' is related by {actual!r}, not by {' or '.join(sorted(allowed))}")
    return problems


def references_make_no_loop(dataset: Dataset) -> list[str]:
    """No item refers to one that it stands in (PS3.3 C.17.3.2.5)."""
    return [
        f"an item refers to {list(target)}, in which it stands"
        for place, target in _reference_places(dataset, (1,))
        if place[: len(target)] == target
    ]


def evidence_holds_every_image(dataset: Dataset) -> list[str]:
    """Every image that is referred to is listed as evidence exactly once."""
    listed = Counter(
        str(item.ReferencedSOPInstanceUID)
        for study in dataset.get("CurrentRequestedProcedureEvidenceSequence") or []
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    )
    problems = [f"evidence lists {uid} {count} times" for uid, count in listed.items() if count > 1]
    return problems + [f"{uid} is referenced but is no evidence" for uid in references_of(dataset) if uid not in listed]


def runs_name_their_images(dataset: Dataset) -> list[str]:
    """Each detection and analysis performed says on which images or series (TID 4017 rows 3 to 6)."""
    return [
        f"a '{concept(item)[2]}' names no image and no series"
        for item in _named(dataset, *PERFORMED)
        if not any(_path(child) or child.get("ValueType") in {"IMAGE", "UIDREF"} for child in children(item))
    ]


def summaries_hold_what_they_say(dataset: Dataset) -> list[str]:
    """A summary of detections or analyses holds successes and failures as its status says (TID 4015, 4016)."""
    problems = []
    for name in (DETECTIONS, ANALYSES):
        for summary in children(dataset, name):
            held = (_holds(summary, SUCCESSFUL), _holds(summary, FAILED))
            if held != HOLDS.get(_value(summary)):
                problems.append(f"'{name[2]}' is {_meaning(summary)!r}, which what it holds contradicts")
    return problems


def state_contradicts_nothing(dataset: Dataset) -> list[str]:
    """Positive, negative, partly analysed and not analysed are told apart by all three summaries alike."""
    (summary,) = children(dataset, SUMMARY)
    statuses = {_value(item) for name in (DETECTIONS, ANALYSES) for item in children(dataset, name)}
    value, has_findings = _value(summary), any(_named(summary, FINDING))
    problems = []
    if has_findings != (value in {ALL_WITH, PART_WITH}):
        problems.append(f"the summary is {_meaning(summary)!r}, which the findings contradict")
    if value in {ALL_WITH, ALL_WITHOUT} and not {SUCCEEDED} <= statuses <= {SUCCEEDED, NOT_ATTEMPTED}:
        problems.append(f"the summary is {_meaning(summary)!r}, but not all algorithms succeeded")
    if value in {PART_WITH, PART_WITHOUT} and not statuses & {PARTIALLY, FAILURE}:
        problems.append(f"the summary is {_meaning(summary)!r}, but no algorithm failed")
    if value == NONE and statuses & {SUCCEEDED, PARTIALLY}:
        problems.append(f"the summary is {_meaning(summary)!r}, but an algorithm succeeded")
    return problems


def _named(dataset: Dataset, *names: Concept) -> Iterator[Dataset]:
    """Yield the items of these names, however deep."""
    return (item for item in content_items(dataset) if concept(item) in names)


def _images(library: Dataset) -> list[Dataset]:
    return [item for item in children(library) if item.get("ValueType") == "IMAGE"]


def _path(item: Dataset) -> tuple[int, ...]:
    """Return the identifier by which an item refers to another; empty when it stands here itself."""
    path = item.get("ReferencedContentItemIdentifier")
    if path is None:
        return ()
    return (path,) if isinstance(path, int) else tuple(path)


def _target(dataset: Dataset, item: Dataset) -> Dataset | None:
    """Return the item, or the one that it refers to; None when that is not there."""
    return item_at(dataset, list(_path(item))) if _path(item) else item


def _bounds(image: Dataset) -> tuple[float, float]:
    """Return (columns, rows) as the library has them; infinite when it does not say."""
    sizes = {concept(item)[0]: item for item in children(image) if item.get("ValueType") == "NUM"}
    columns, rows = (sizes.get(name) for name in (COLUMNS, ROWS))
    return _number(columns), _number(rows)


def _number(item: Dataset | None) -> float:
    return math.inf if item is None else float(item.MeasuredValueSequence[0].NumericValue)


def _reference_places(item: Dataset, place: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield where each reference stands and where it leads."""
    for number, child in enumerate(children(item), start=1):
        if _path(child):
            yield (*place, number), _path(child)
        yield from _reference_places(child, (*place, number))


def _holds(summary: Dataset, names: frozenset[str]) -> bool:
    containers = [item for item in children(summary) if concept(item)[0] in names]
    return any(children(container) for container in containers)


def _strength(item: Dataset) -> int:
    return max((STRENGTH.get(_value(intent), 0) for intent in children(item, INTENT)), default=0)


def _value(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


def _meaning(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeMeaning)


CAD_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    is_cad_report,
    state_is_unverified,
    has_image_library,
    has_one_of_each_summary,
    algorithms_are_named,
    cad_tracking_is_unique,
    intents_are_said,
    findings_have_a_center,
    coordinates_stand_on_images,
    codes_are_in_their_groups,
    cad_relationships_are_the_templates,
    numbers_have_units,
    relationships_resolve,
    references_make_no_loop,
    evidence_holds_every_image,
    runs_name_their_images,
    summaries_hold_what_they_say,
    state_contradicts_nothing,
)
