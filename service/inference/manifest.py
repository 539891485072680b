# SPDX-License-Identifier: Apache-2.0
"""What a model package says about itself: manifest.yaml as strict, frozen types.

A package is a folder `<name>/<version>/`; the manifest lists every other file in it with its SHA-256. Preprocessing,
post-processing and acceptance are data for the pipeline, free mappings of JSON types; everything else is checked here.
"""

import re
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, JsonValue, StringConstraints, ValidationError, model_validator

from service.codes import code
from service.domain.conversion import conversion_problem
from service.domain.drift import DriftReference
from service.domain.errors import PackageError
from service.domain.reliability import ConformalSet, Limit, Reliability, ScoreCalibration
from service.domain.result import PackageStatus
from service.inference.evidence import (
    LEAST_STUDIES,
    Budget,
    Decomposition,
    GoldenStudy,
    Promotion,
    Share,
    ladder_problem,
)
from service.inference.manifest_reliability import reliability_problem
from service.inference.manifest_types import Digest, Dimension, Fraction, RelativePath, Slug, Strict, Text, Version
from service.inference.plain_file import read_file
from service.inference.strict_yaml import yaml_to_json

MANIFEST_NAME: Final = "manifest.yaml"
SIGNATURES_NAME: Final = "SIGNATURES.json"
UNLISTED: Final = frozenset((MANIFEST_NAME, SIGNATURES_NAME))
"""Files that the manifest cannot list: itself, and what is signed over it."""
MANIFEST_MAX_BYTES: Final = 1 << 20
_SHOWN_ERRORS: Final = 5


class ClinicalUse(StrEnum):
    """What the package may be used for."""

    PROHIBITED = "prohibited"
    RESEARCH_ONLY = "research-only"
    PERMITTED = "permitted"


class Tensor(Strict):
    """The contract of one tensor.

    A dimension is a size, a symbol (the same size wherever the symbol appears in the graph's inputs), or null (any).
    `channels` says what each index of axis 1 means; `value_range` is (lowest, highest) of a valid value.
    """

    dtype: Literal["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]
    shape: tuple[Dimension, ...]
    channels: tuple[Text, ...] = ()
    value_range: tuple[float, float] | None = None
    description: str = ""

    @model_validator(mode="after")
    def _channels_fit(self) -> Self:
        size = self.shape[1] if len(self.shape) > 1 else None
        if self.channels and isinstance(size, int) and size != len(self.channels):
            raise ValueError(f"names {len(self.channels)} channels, but axis 1 of the shape has size {size}")
        if self.value_range and self.value_range[0] >= self.value_range[1]:
            raise ValueError("value_range is [lowest, highest]")
        return self


class Graph(Strict):
    """One ONNX file and its contract."""

    file: RelativePath
    inputs: Annotated[dict[str, Tensor], Field(min_length=1)]
    outputs: Annotated[dict[str, Tensor], Field(min_length=1)]


class CodeReference(Strict):
    """A code of service/codes.csv."""

    value: str
    scheme: str

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            code(self.scheme, self.value)
        except KeyError as error:
            raise ValueError(str(error.args[0])) from None
        return self


class ClassLabel(Strict):
    """One class that the model tells apart, in the order of the output's channels; `parameters` is free."""

    name: Slug
    code: CodeReference | None = None
    title: str = ""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class OperatingPoint(Strict):
    """A threshold on the package's triage or decision score, and what it did on which data."""

    threshold: float
    sensitivity: Fraction | None = None
    specificity: Fraction | None = None
    measured_on: Text


class Metric(Strict):
    """One number of the evaluation; `condition` says on what: "scanner-shift", "in-domain" or another slug."""

    name: Text
    condition: Slug
    value: float
    cases: Annotated[int, Field(ge=1)] | None = None
    note: str = ""


class Training(Strict):
    """How the package came to be; the first metric is the one under scanner shift, because patients are a shift."""

    recipe: Text
    seed: int
    data: Text
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _shift_first(self) -> Self:
        if self.metrics[0].condition != "scanner-shift":
            raise ValueError("the first of metrics has condition scanner-shift; in-domain figures come after it")
        return self


class Golden(Strict):
    """Inputs and outputs that this graph must reproduce; `tolerance` is the largest absolute difference.

    `tolerance_bf16` lets providers that compute in bf16 run the package: the largest difference there, as a share of
    the output's largest number (of 1, where that is below 1). bf16 keeps 8 of 24 bits, so that no absolute number fits
    all outputs.
    """

    graph: Slug
    file: RelativePath
    tolerance: Share
    tolerance_bf16: Share | None = None

    @model_validator(mode="after")
    def _in_its_folder(self) -> Self:
        if not re.fullmatch(r"golden/[^/]+\.npz", self.file):
            raise ValueError("golden tensors are named golden/<name>.npz")
        return self


class Manifest(Strict):
    """manifest.yaml of a model package."""

    schema_version: Literal[1]
    name: Slug
    version: Version
    title: Annotated[Text, StringConstraints(max_length=64)]
    pipeline: Slug
    status: PackageStatus
    clinical_use: ClinicalUse
    intended_use: Text
    trained_on: Text
    licence: Text
    contact: Text
    graphs: Annotated[dict[Slug, Graph], Field(min_length=1)]
    classes: tuple[ClassLabel, ...] = ()
    operating_points: Annotated[dict[Slug, OperatingPoint], Field(min_length=1)]
    triage_operating_point: Slug
    parameters: dict[str, JsonValue]
    acceptance: dict[str, JsonValue]
    training: Training
    golden: tuple[Golden, ...]
    golden_studies: tuple[GoldenStudy, ...] = ()
    refuses_noise: bool = False
    """The pipeline must refuse the first golden study when its pixels are replaced by noise."""
    decompositions: tuple[Decomposition, ...] = ()
    calibration: tuple[ScoreCalibration, ...] = ()
    conformal: tuple[ConformalSet, ...] = ()
    out_of_distribution: tuple[Limit, ...] = ()
    disagreement: tuple[Limit, ...] = ()
    drift_reference: DriftReference | None = None
    """What usual studies look like to the package, for the watch over drift."""
    budget: Budget | None = None
    promotions: tuple[Promotion, ...] = ()
    files: Annotated[dict[RelativePath, Digest], Field(min_length=1)]

    @model_validator(mode="after")
    def _use_fits_status(self) -> Self:
        demonstration = self.status is PackageStatus.DEMONSTRATION
        if demonstration and self.clinical_use is not ClinicalUse.PROHIBITED:
            raise ValueError("status demonstration requires clinical_use prohibited")
        if self.clinical_use is ClinicalUse.PERMITTED and self.status is not PackageStatus.APPROVED:
            raise ValueError("clinical_use permitted requires status approved")
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        _known("triage_operating_point", {self.triage_operating_point}, self.operating_points)
        _known("golden", {golden.graph for golden in self.golden}, self.graphs)
        _known("files must list each graph:", {graph.file for graph in self.graphs.values()}, self.files)
        _known("files must list each golden file:", {golden.file for golden in self.golden}, self.files)
        _known("files must list", {"LICENSE", "MODEL_CARD.md"}, self.files)
        unlisted = sorted(UNLISTED & set(self.files))
        if unlisted:
            raise ValueError(f"files lists every file but {unlisted[0]} itself")
        return self

    @model_validator(mode="after")
    def _names_differ_everywhere(self) -> Self:
        twice = [name for name, count in Counter(path.casefold() for path in self.files).items() if count > 1]
        if twice:
            raise ValueError(f"files {twice[0]} differ in upper and lower case alone; many systems take them for one")
        return self

    @model_validator(mode="after")
    def _studies_are_whole(self) -> Self:
        if len({study.name for study in self.golden_studies}) < len(self.golden_studies):
            raise ValueError("golden_studies has a name twice")
        _known("files must list", {study.expected for study in self.golden_studies}, self.files)
        empty = [study.folder for study in self.golden_studies if not study.images(list(self.files))]
        if empty:
            raise ValueError(f"files lists no DICOM file {empty[0]}/*.dcm of the golden study")
        if self.refuses_noise and not self.golden_studies:
            raise ValueError("refuses_noise needs a golden study, whose pixels are replaced by noise")
        return self

    @model_validator(mode="after")
    def _bf16_is_shown_everywhere(self) -> Self:
        tensors = [item.tolerance_bf16 for item in self.golden]
        shares = [*tensors, *(study.tolerance_bf16 for study in self.golden_studies)]
        if any(shares) and not all(shares):
            raise ValueError(
                "tolerance_bf16 is given for some of golden and golden_studies; give it for every one, or for none, "
                "and the package does not run in bf16"
            )
        return self

    @model_validator(mode="after")
    def _status_is_proved(self) -> Self:
        problem = ladder_problem(self.status, self.promotions)
        if problem:
            raise ValueError(problem)
        if self.status is PackageStatus.DEMONSTRATION:
            return self
        if len(self.golden_studies) < LEAST_STUDIES or self.budget is None:
            raise ValueError(f"status {self.status} needs {LEAST_STUDIES} golden_studies and a budget at least")
        return self

    @model_validator(mode="after")
    def _decompositions_exist(self) -> Self:
        for entry in self.decompositions:
            _known("decompositions", {entry.graph}, self.graphs)
            _known(f"decompositions of {entry.graph}", {entry.map, entry.score}, self.graphs[entry.graph].outputs)
        return self

    @model_validator(mode="after")
    def _doubts_fit(self) -> Self:
        outputs = {name: graph.outputs for name, graph in self.graphs.items()}
        problem = reliability_problem(self.reliability, pipeline=self.pipeline, outputs=outputs)
        if problem:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _raw_images_have_a_conversion(self) -> Self:
        problem = conversion_problem(self.acceptance, self.parameters)
        if problem:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _every_graph_is_golden(self) -> Self:
        _known("each graph needs golden tensors:", self.graphs, {golden.graph for golden in self.golden})
        return self

    @property
    def reliability(self) -> Reliability:
        """What the package says of its own doubts."""
        return Reliability(
            calibration=self.calibration,
            conformal=self.conformal,
            out_of_distribution=self.out_of_distribution,
            disagreement=self.disagreement,
        )


def _known(key: str, used: Iterable[str], known: Iterable[str]) -> None:
    missing = sorted(set(used) - set(known))
    if missing:
        raise ValueError(f"{key} {', '.join(missing)} is not among {', '.join(sorted(known)) or 'nothing'}")


def load_manifest(folder: Path) -> Manifest:
    """Read manifest.yaml of a package folder `<name>/<version>`; see `parse_manifest`."""
    return parse_manifest(read_file(folder / MANIFEST_NAME, max_bytes=MANIFEST_MAX_BYTES), folder=folder)


def parse_manifest(data: bytes, *, folder: Path) -> Manifest:
    """Check a manifest's content against the schema and against the folder that it lies in.

    Raises
    ------
    PackageError
        It is not plain YAML, breaks the schema, or belongs to another folder.
    """
    where = str(folder / MANIFEST_NAME)
    manifest = parse_content(data, where=where)
    stated, actual = (manifest.name, manifest.version), (folder.parent.name, folder.name)
    if stated != actual:
        raise PackageError(
            f"{where}: name and version {'/'.join(stated)} differ from the folder's {'/'.join(actual)}; "
            "rename the folder or correct the manifest"
        )
    return manifest


def parse_content(data: bytes, *, where: str) -> Manifest:
    """Check a manifest's content against the schema alone.

    Raises
    ------
    PackageError
        It is not plain YAML, or breaks the schema.
    """
    try:
        return Manifest.model_validate_json(yaml_to_json(data, where=where))
    except ValidationError as error:
        raise PackageError(f"{where}: {_explain(error)}; correct the manifest") from None


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    shown = [_explain_one(problem["loc"], problem["msg"], problem["input"]) for problem in problems]
    hidden = len(shown) - _SHOWN_ERRORS
    return "; ".join(shown[:_SHOWN_ERRORS]) + (f"; and {hidden} more" if hidden > 0 else "")


def _explain_one(location: tuple[int | str, ...], rule: str, value: Any) -> str:
    key = ".".join(str(part) for part in location) or "the manifest"
    rule = rule.removeprefix("Value error, ")
    if isinstance(value, dict | list):
        return f"key {key}: {rule}"
    return f"key {key} value {_shorten(value)}: {rule}"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
