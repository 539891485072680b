# SPDX-License-Identifier: Apache-2.0
"""What the mammography and the chest CAD report have in common (PS3.16 TID 4015 to 4023, 4108)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from service import __version__
from service.codes import Code, code, dcm
from service.domain.instance import Instance
from service.domain.result import (
    AlgorithmRun,
    Finding,
    Outcome,
    PipelineResult,
    RenderingIntent,
    RunKind,
    RunStatus,
)
from service.results.object.identifiers import tracking_uid
from service.results.report.sr_group import closed_outline, image_size
from service.results.report.sr_tree import (
    Coded,
    Container,
    Coordinates,
    GraphicType,
    Item,
    Link,
    Number,
    Relationship,
    Text,
    UidReference,
    by_reference,
    by_value,
    contains,
)
from service.results.source.sources import Sources
from service.results.words.statements import label

PERCENT, ARBITRARY = code("UCUM", "%"), code("UCUM", "[arb'U]")
RANGE_FROM_0, RANGE_FROM_1 = code("UCUM", "{0:n}"), code("UCUM", "{1:n}")
MANY_IMAGES = 16
"""From here on a run names its series instead of every image, where the template lets it."""

INTENTS = MappingProxyType(
    {
        RenderingIntent.REQUIRED: dcm("111150"),
        RenderingIntent.OPTIONAL: dcm("111151"),
        RenderingIntent.NOT_FOR_PRESENTATION: dcm("111152"),
    }
)
SUMMARIES: Mapping[Outcome, Mapping[bool, Code]] = MappingProxyType(
    {
        Outcome.FINDINGS: dict.fromkeys((True, False), dcm("111242")),
        Outcome.NO_FINDINGS: dict.fromkeys((True, False), dcm("111241")),
        Outcome.PARTLY_ANALYSED: {True: dcm("111244"), False: dcm("111243")},
        Outcome.NOT_ANALYSED: dict.fromkeys((True, False), dcm("111245")),
    }
)
"""CAD Processing and Findings Summary (CID 6047) by outcome, and by whether findings are reported."""

SUCCEEDED, PARTIALLY, FAILED, NOT_ATTEMPTED = dcm("111222"), dcm("111223"), dcm("111224"), dcm("111225")
STATUSES: Mapping[frozenset[RunStatus], Code] = MappingProxyType(
    {
        frozenset(): NOT_ATTEMPTED,
        frozenset({RunStatus.SUCCEEDED}): SUCCEEDED,
        frozenset({RunStatus.FAILED}): FAILED,
        frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED}): PARTIALLY,
    }
)
"""Status of Results (CID 6042) by how the attempted runs ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWords:
    """The concepts with which a kind of run is summarised."""

    summary: Code
    performed: Code
    containers: Mapping[RunStatus, Code]


RUN_WORDS: Mapping[RunKind, RunWords] = MappingProxyType(
    {
        RunKind.DETECTION: RunWords(
            summary=dcm("111064"),
            performed=dcm("111022"),
            containers={RunStatus.SUCCEEDED: dcm("111063"), RunStatus.FAILED: dcm("111025")},
        ),
        RunKind.ANALYSIS: RunWords(
            summary=dcm("111065"),
            performed=dcm("111004"),
            containers={RunStatus.SUCCEEDED: dcm("111062"), RunStatus.FAILED: dcm("111024")},
        ),
    }
)


def summary_code(result: PipelineResult, *, has_findings: bool) -> Code:
    """Return what the report says as a whole.

    It follows the outcome alone where that decides: a result whose findings contradict it is held back by the gate.
    """
    return SUMMARIES[result.outcome][has_findings]


def reported_findings(result: PipelineResult, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return those of the present findings that a report with this outcome carries, then the candidates.

    A report that says "without findings" is empty: candidates are offered beside findings alone.
    """
    present = tuple(findings) if result.outcome in {Outcome.FINDINGS, Outcome.PARTLY_ANALYSED} else ()
    return (*present, *result.candidates) if present else ()


def runs_of(result: PipelineResult, *, subject: Code, sources: Sources) -> tuple[AlgorithmRun, ...]:
    """Return the runs of a result; where it has none, what its outcome says of looking for `subject`."""
    if result.runs:
        return tuple(run for run in result.runs if run.status is not RunStatus.NOT_ATTEMPTED)
    known = [instance.sop_instance_uid for instance in sources.instances]
    read = [uid for uid in known if uid in result.input_sop_instance_uids]
    failed = [uid for uid in known if uid not in read] or read
    uids = {
        Outcome.FINDINGS: {RunStatus.SUCCEEDED: read},
        Outcome.NO_FINDINGS: {RunStatus.SUCCEEDED: read},
        Outcome.PARTLY_ANALYSED: {RunStatus.SUCCEEDED: read, RunStatus.FAILED: failed},
        Outcome.NOT_ANALYSED: {},
    }[result.outcome]
    return tuple(
        AlgorithmRun(kind=RunKind.DETECTION, subject=subject, status=status, sop_instance_uids=tuple(images))
        for status, images in uids.items()
    )


def algorithm(result: PipelineResult, relationship: Relationship) -> tuple[Link, ...]:
    """Return the name and version of the algorithm (TID 4019), which stand with every finding."""
    package = result.package
    name, version = (package.name, package.version) if package else (f"dokuei {result.pipeline}", __version__)
    names = Item(dcm("111001"), Text(label(name))), Item(dcm("111003"), Text(label(version)))
    return by_value(relationship, *names)


def algorithm_in_full(result: PipelineResult) -> tuple[Link, ...]:
    """Return the algorithm with its parameters, which say which package and thresholds it was; once for each run."""
    parameters = (Item(dcm("111002"), Text(parameter)) for parameter in _parameters(result))
    return algorithm(result, Relationship.HAS_PROPERTIES) + by_value(Relationship.HAS_PROPERTIES, *parameters)


def _parameters(result: PipelineResult) -> Iterator[str]:
    if result.package is not None:
        yield f"sha256:{result.package.sha256}"
        yield f"status:{result.package.status.value}"
    for number, point in enumerate(result.mark_points):
        yield f"CAD operating point {number}: {point.name}, score {point.threshold:g} or more"
    if result.triage is not None:
        yield f"triage operating point: {result.triage.operating_point}, score {result.triage.threshold:g} or more"


def tracking(key: str, result: PipelineResult, *, revision: int) -> tuple[Link, ...]:
    """Return the tracking identifiers (TID 4108), the same as those of every other object of the result."""
    return by_value(
        Relationship.HAS_OBS_CONTEXT,
        Item(dcm("112039"), Text(label(f"{result.pipeline} {key}"))),
        Item(dcm("112040"), UidReference(tracking_uid(result, key, revision=revision))),
    )


def rendering(intent: RenderingIntent, *, operating_point: int | None = None) -> tuple[Link, ...]:
    """Return the rendering intent; an optional finding with the CAD operating point from which on it is shown."""
    points = () if operating_point is None else (Item(dcm("111071"), Number(operating_point, RANGE_FROM_1)),)
    item = Item(dcm("111056"), Coded(INTENTS[intent]), by_value(Relationship.HAS_PROPERTIES, *points))
    return by_value(Relationship.HAS_CONCEPT_MOD, item)


def percent(name: str, score: float) -> Item:
    """Return a score in [0, 1] as a percentage."""
    return Item(dcm(name), Number(round(score * 100, 2), PERCENT))


def geometry(finding: Finding, image: Item, sources: Sources) -> tuple[Link, ...]:
    """Return centre and outline (TID 4021, 4107), both selected from an entry of the image library."""
    columns, rows = image_size(sources.instance(finding.region.sop_instance_uid), sources)
    x, y = finding.center
    center = ((min(max(x, 0.0), columns), min(max(y, 0.0), rows)),)
    outline = tuple((float(x), float(y)) for x, y in closed_outline(finding.region, columns, rows))
    selected = by_reference(Relationship.SELECTED_FROM, image)
    return by_value(
        Relationship.HAS_PROPERTIES,
        Item(dcm("111010"), Coordinates(GraphicType.POINT, center), selected),
        Item(dcm("111041"), Coordinates(GraphicType.POLYLINE, outline), selected),
    )


def operating_points(result: PipelineResult) -> tuple[Link, ...]:
    """Return the CAD operating points (TID 4023) of marks: 0 is the display threshold, 1 the package's floor.

    Nothing is said where the package has no floor: every mark that is reported is then to be presented. The template's
    table of points is left out: a CODE may have no CONTAINER as property in this IOD (PS3.3 table A.35.5-2), and the
    thresholds stand among the algorithm's parameters.
    """
    if len(result.mark_points) < 2:
        return ()
    highest = Item(dcm("111072"), Number(len(result.mark_points) - 1, ARBITRARY))
    recommended = Item(dcm("111092"), Number(0, RANGE_FROM_0))
    return by_value(Relationship.HAS_PROPERTIES, highest, recommended)


def summary_of_runs(
    kind: RunKind, runs: Sequence[AlgorithmRun], *, result: PipelineResult, images: "RunImages"
) -> Item:
    """Return Summary of Detections or of Analyses with what succeeded and what failed (TID 4015 to 4018)."""
    words = RUN_WORDS[kind]
    attempted = [run for run in runs if run.kind is kind]
    links: tuple[Link, ...] = ()
    for status, name in words.containers.items():
        ended = [run for run in attempted if run.status is status]
        performed = [_performed(run, words.performed, result=result, images=images) for run in ended]
        if performed:
            links += by_value(Relationship.INFERRED_FROM, Item(name, Container(), contains(*performed)))
    return Item(words.summary, Coded(STATUSES[frozenset(run.status for run in attempted)]), links)


def _performed(run: AlgorithmRun, name: Code, *, result: PipelineResult, images: "RunImages") -> Item:
    points = operating_points(result) if run.kind is RunKind.DETECTION else ()
    links = algorithm_in_full(result) + images.links(run) + points
    return Item(name, Coded(run.subject), links)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunImages:
    """How runs name their images: by reference to the image library, or by series where that holds too few of them.

    `library` are the library's entries of whole instances by SOP Instance UID.
    """

    sources: Sources
    library: Mapping[str, Item]

    def links(self, run: AlgorithmRun) -> tuple[Link, ...]:
        """Return the images of a run (TID 4017 rows 4 and 5)."""
        instances = [self.sources.instance(uid) for uid in run.sop_instance_uids]
        entries = [self.library.get(instance.sop_instance_uid) for instance in instances]
        found = [entry for entry in entries if entry is not None]
        if len(found) == len(instances):
            return by_reference(Relationship.HAS_PROPERTIES, *found)
        return by_value(Relationship.HAS_PROPERTIES, *_series(instances))


def _series(instances: Iterable[Instance]) -> tuple[Item, ...]:
    uids = dict.fromkeys(instance.series_instance_uid for instance in instances)
    return tuple(Item(dcm("112002"), UidReference(uid)) for uid in uids)
