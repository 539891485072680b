# SPDX-License-Identifier: Apache-2.0
"""What a pipeline says about a study: a neutral value from which every result object is encoded.

Coordinates are those of the *source image as stored*: columns to the right, rows downwards, the top-left corner of the
top-left pixel at (0, 0) (PS3.3 C.18.6.1.2), so that a half-open box [x0, x1) maps to x0..x1 unchanged.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.codes import Code
from service.domain.image import SlicePlane
from service.domain.sheet import ReadingSheet


class Outcome(StrEnum):
    """The four states of an analysis, which must never be mistaken for one another."""

    FINDINGS = "findings"
    NO_FINDINGS = "no_findings"
    PARTLY_ANALYSED = "partly_analysed"
    NOT_ANALYSED = "not_analysed"


class Priority(StrEnum):
    """Reading priority; only ever raised."""

    ROUTINE = "routine"
    URGENT = "urgent"


class PackageStatus(StrEnum):
    """How far a model package has been validated, as its manifest says."""

    DEMONSTRATION = "demonstration"
    RESEARCH = "research"
    SITE_VALIDATED = "site-validated"
    APPROVED = "approved"


class Presence(StrEnum):
    """Whether a finding is there (CID 240)."""

    PRESENT = "present"
    ABSENT = "absent"
    UNDETERMINED = "undetermined"


class RenderingIntent(StrEnum):
    """Whether a viewer is to show a finding (CID 6034, PS3.4 O.2.2.1)."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NOT_FOR_PRESENTATION = "not_for_presentation"

    @classmethod
    def of(cls, score: float, *, display: float, floor: float) -> "RenderingIntent | None":
        """Return the intent of a mark by its score; None below the floor, where it is no candidate."""
        if score >= display:
            return cls.REQUIRED
        return cls.OPTIONAL if score >= floor else None


class RunKind(StrEnum):
    """What an algorithm does (PS3.17 F.1): find something on single images, or conclude from what was found."""

    DETECTION = "detection"
    ANALYSIS = "analysis"


class RunStatus(StrEnum):
    """How an algorithm ended on certain images (CID 6042, one algorithm at a time)."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"


class FeatureRelation(StrEnum):
    """How the members of a composite finding belong together (CID 6035)."""

    TEMPORAL = "temporal"
    SPATIAL = "spatial"
    CONTRALATERAL = "contralateral"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something was refused or flagged: a stable code for metrics and a sentence for people.

    `code` is a snake_case slug from a closed set of the pipeline (it becomes a metric label); `message` names the
    element or measure, its value, the rule and what to do, and never a patient.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A closed outline on one source image, in (column, row) pixel coordinates of the stored image."""

    sop_instance_uid: str
    points: tuple[tuple[float, float], ...]
    frame_number: int | None = None

    @classmethod
    def box(
        cls,
        sop_instance_uid: str,
        *,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        frame_number: int | None = None,
    ) -> "Region":
        """Make a rectangle of five points, closed, the form that viewers draw as a box."""
        points = ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))
        return cls(sop_instance_uid=sop_instance_uid, points=points, frame_number=frame_number)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of the smallest box around the outline."""
        columns = [point[0] for point in self.points]
        rows = [point[1] for point in self.points]
        return min(columns), min(rows), max(columns), max(rows)

    @property
    def middle(self) -> tuple[float, float]:
        """(x, y) of the middle of the smallest box around the outline."""
        x0, y0, x1, y1 = self.bounds
        return (x0 + x1) / 2, (y0 + y1) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number with a coded name and a UCUM unit, for example (EXT-PCT, 12.5, %)."""

    name: Code
    value: float
    unit: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A coded answer to a coded question, for example (Profusion, 1/1)."""

    name: Code
    value: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteEvaluation:
    """A coded answer to a coded question about the study, or about one place in it, that no outline stands for."""

    name: Code
    value: Code
    site: Code | None = None
    laterality: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding, anchored to an outline on one source image (results.md, rule 5 of section 0.1).

    `key` is stable and unique within a result ("zone-RU", "mark-1"): tracking identifiers are derived from it.
    `label` is at most 64 characters, Latin; it is what most viewers print beside the outline.
    `score` is the model's own score in [0, 1] for the finding being there (an extent is none); it is never called a
    probability of disease unless `calibrated`.
    `peak` is the (column, row) that the detector points at, where it knows one better than the region's middle.
    `rendering` says whether a viewer is to show it.
    """

    key: str
    label: str
    finding: Code
    presence: Presence
    region: Region
    site: Code | None = None
    laterality: Code | None = None
    score: float | None = None
    calibrated: bool = False
    measurements: tuple[Measurement, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    peak: tuple[float, float] | None = None
    rendering: RenderingIntent = RenderingIntent.REQUIRED

    @property
    def center(self) -> tuple[float, float]:
        """The (column, row) that stands for the finding."""
        return self.region.middle if self.peak is None else self.peak


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeFinding:
    """One thing seen by several findings, for example a mass on both views of a breast.

    `members` are keys of findings or candidates, two at least; `score` is as that of a finding.
    """

    key: str
    label: str
    finding: Code
    relation: FeatureRelation
    members: tuple[str, ...]
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmRun:
    """How one algorithm ended on certain images.

    `subject` is what a detection looks for (CID 6014, 6101, 6102), or the kind of analysis (CID 6043, 6137).
    `sop_instance_uids` are among the sources of the result; empty when the algorithm was not attempted.
    """

    kind: RunKind
    subject: Code
    status: RunStatus
    sop_instance_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A named threshold on the score of marks."""

    name: str
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An outline drawn on a heatmap, in pixel coordinates of that heatmap's `base`, with a short Latin caption."""

    points: tuple[tuple[float, float], ...]
    caption: str = ""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Heatmap:
    """A picture to be encoded as colour Secondary Capture: a grey base image and an explanation map over it.

    `base` is uint8 (rows, columns), display grey (0 black, 255 white), upright: head up, and for the chest the
    patient's left on the picture's right. `overlay` is float32 in [0, 1] of the same shape, 0 where nothing is shown.
    `patient_orientation` is the base's own ((0020,0020), for example ("L", "F")).
    `position_mm`, `orientation`, `pixel_spacing_mm` place the base in the patient for CT; None for radiographs
    (`pixel_spacing_mm` is (row spacing, column spacing) of the base).
    `explanation` says what kind of map it is (CID 217, for example (130402, DCM, Class activation)).
    """

    key: str
    source_sop_instance_uid: str
    base: NDArray[np.uint8]
    overlay: NDArray[np.float32]
    legend: str
    patient_orientation: tuple[str, str] | None = None
    pixel_spacing_mm: tuple[float, float] | None = None
    position_mm: tuple[float, float, float] | None = None
    orientation: tuple[float, float, float, float, float, float] | None = None
    frame_number: int | None = None
    marks: tuple[Mark, ...] = ()
    lines: tuple[str, ...] = ()
    explanation: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSlice:
    """A slice that a map was made from: an instance, or one frame of it."""

    sop_instance_uid: str
    frame_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What is drawn where a label map has one of `values`.

    `key` is stable and unique within a result; a segment that shows the extent of a finding has the finding's key, and
    with it its tracking identifier. Segments of one `group` ("lungs", "patterns") never overlap.
    `category` is of CID 7150, `property` of CID 7151; `label` is at most 64 Latin characters.
    """

    key: str
    group: str
    label: str
    values: tuple[int, ...]
    category: Code
    property: Code
    laterality: Code | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LabelMap:
    """Labels on the grid of the stored source slices: one plane of labels for several groups of segments.

    `labels` is uint8 (slices, rows, columns), 0 where nothing is; its planes belong to `slices`, from head to feet.
    A label may be a value of segments of several groups: that of normal lung on the right is in "Right lung" alone.
    """

    labels: NDArray[np.uint8]
    slices: tuple[SourceSlice, ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ValueMap:
    """A number for every place of a grid of its own, which may be coarser than the source's.

    `values` is float32 (slices, rows, columns) within `value_range`, NaN where nothing was measured; `planes` say where
    each slice of the grid lies in the patient, `pixel_spacing_mm` is (between rows, between columns) of the grid.
    """

    key: str
    label: str
    values: NDArray[np.float32]
    value_range: tuple[float, float]
    slices: tuple[SourceSlice, ...]
    planes: tuple[SlicePlane, ...]
    pixel_spacing_mm: tuple[float, float]
    quantity: Code
    unit: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageIdentity:
    """Which model package produced a result."""

    name: str
    version: str
    sha256: str
    status: PackageStatus
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Triage:
    """The one score that the package's operating point is applied to.

    `above_operating_point` is what the model says; whether it may raise a priority is decided in workflow/triage.
    """

    score: float
    operating_point: str
    threshold: float
    above_operating_point: bool


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PipelineResult:
    """The neutral result of one pipeline on one revision of one study.

    `headline` is the result line: at most 64 Latin characters, self-explanatory, shown wherever one line fits.
    `input_sop_instance_uids` are the instances that were analysed (or were to be), sorted.
    `values` keeps every gate value and number of the run for the record; JSON types only.
    `candidates` are marks below the display threshold and at or above the package's floor: no findings of the result,
    but what a CAD workstation may offer on demand. `runs` say how each algorithm ended; where there are none, `outcome`
    does. `mark_points` are the display threshold and, where the package has one, the floor, highest first. `sheet` is
    the reading as a form, where people know one. `evaluations` and `measurements` are of the study as a whole or of
    places in it: grades of a sheet, its sums.
    """

    pipeline: str
    study_instance_uid: str
    outcome: Outcome
    headline: str
    package: PackageIdentity | None
    input_sop_instance_uids: tuple[str, ...]
    analysed_at: datetime
    findings: tuple[Finding, ...] = ()
    heatmaps: tuple[Heatmap, ...] = ()
    label_map: LabelMap | None = None
    value_maps: tuple[ValueMap, ...] = ()
    refusals: tuple[Reason, ...] = ()
    flags: tuple[Reason, ...] = ()
    triage: Triage | None = None
    summary: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    candidates: tuple[Finding, ...] = ()
    composites: tuple[CompositeFinding, ...] = ()
    runs: tuple[AlgorithmRun, ...] = ()
    mark_points: tuple[OperatingPoint, ...] = ()
    sheet: ReadingSheet | None = None
    evaluations: tuple[SiteEvaluation, ...] = ()
    measurements: tuple[Measurement, ...] = ()
