# SPDX-License-Identifier: Apache-2.0
"""Features of images by a package's graph, taken while the node's own pipeline runs, and kept in one .npz file."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.phantoms.computed_tomography import PATTERNS, usual_scanner
from models.recipes.diffuse_lung_data import pure_patches
from service.dicom.header import read_attributes
from service.domain.errors import InputError
from service.domain.instance import Instance
from service.domain.reliability import Reliability
from service.domain.result import PackageIdentity
from service.domain.screening import Performance
from service.domain.study import Refusal
from service.inference.package import LoadedPackage
from service.pipelines import PIPELINES
from service.ports import Tensors

FEATURE = "feature"
"""The output of a package's graph that is clustered, (N, D)."""
_PHANTOM_SEED = 900_000
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Features:
    """Features of N images.

    Parameters
    ----------
    values
        float32 (N, D), finite.
    images
        uint8 (N, h, w), channel 0 of the graph's input, for pictures.
    cases
        (N,) the study of each image: its Study Instance UID, or a phantom's name.
    origin
        Package and graph, in words.
    truth
        (N,) names where they are known (phantoms), else empty strings.
    """

    values: NDArray[np.float32]
    images: NDArray[np.uint8]
    cases: NDArray[np.str_]
    origin: str
    truth: NDArray[np.str_]

    def save(self, path: Path) -> None:
        """Write everything as one .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        names = ("values", "images", "cases", "truth")
        np.savez_compressed(path, origin=np.array(self.origin), **{name: getattr(self, name) for name in names})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The file is not one of `save`'s, or its arrays do not fit each other.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in ("values", "images", "cases", "truth", "origin")}
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"{path}: no file of `python -m models.clustering features` ({error})") from None
        features = cls(**{**found, "origin": str(found["origin"])})
        features.check(str(path))
        return features

    def check(self, where: str) -> None:
        """Raise ValueError unless the arrays fit each other and are finite."""
        lengths = {len(self.values), len(self.images), len(self.cases), len(self.truth)}
        if len(lengths) != 1 or self.values.ndim != 2 or not len(self.values):
            raise ValueError(f"{where}: features {self.values.shape} and the other arrays do not fit; make them anew")
        if not np.isfinite(self.values).all():
            raise ValueError(f"{where}: features must be finite; the graph gave NaN or infinity")


class _Recorder:
    """A package (service.ports.Package) that keeps the features of every image that passes its graph."""

    def __init__(self, package: LoadedPackage, graph: str) -> None:
        self._package, self._graph = package, graph
        self.values: list[NDArray[np.float32]] = []
        self.images: list[NDArray[np.float32]] = []

    @property
    def identity(self) -> PackageIdentity:
        return self._package.identity

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {**self._package.parameters, "whole_fields": False}  # an image for each row of features

    @property
    def acceptance(self) -> Mapping[str, Any]:
        return self._package.acceptance

    @property
    def operating_points(self) -> Mapping[str, float]:
        return self._package.operating_points

    @property
    def triage_operating_point(self) -> str:
        return self._package.triage_operating_point

    @property
    def reliability(self) -> Reliability:
        return self._package.reliability

    @property
    def performance(self) -> Mapping[str, Performance]:
        return self._package.performance

    @property
    def prevalence(self) -> float | None:
        return self._package.prevalence

    def run(self, graph: str, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        outputs = self._package.run(graph, inputs)
        if graph == self._graph:
            self.values.append(outputs[FEATURE])
            self.images.append(np.asarray(next(iter(inputs.values()))[:, 0], dtype=np.float32))
        return outputs


def feature_graph(package: LoadedPackage) -> str:
    """Return the name of the package's graph that has an output "feature".

    Raises
    ------
    ValueError
        There is none.
    """
    graphs = package.manifest.graphs
    found = [name for name, graph in graphs.items() if FEATURE in graph.outputs]
    if not found:
        raise ValueError(
            f"package {package.identity.name} has no graph with an output {FEATURE!r}; its graphs are "
            f"{', '.join(graphs)}: export one, see docs/models.md"
        )
    return found[0]


def study_features(package: LoadedPackage, instances: Sequence[Instance]) -> Features | Refusal:
    """Run the package's own pipeline on one study and keep the features of every image that it looks at.

    Returns
    -------
    Features, or why the pipeline refuses the study.
    """
    recorder = _Recorder(package, feature_graph(package))
    pipeline = PIPELINES[package.manifest.pipeline]
    selection = pipeline.select(instances, package.acceptance)
    if isinstance(selection, Refusal):
        return selection
    result = pipeline.run(selection, recorder, analysed_at=_EPOCH)
    if not recorder.values:
        return Refusal(instances=tuple(instances), reasons=result.refusals)
    values = np.concatenate(recorder.values)
    return Features(
        values=values,
        images=_bytes(np.concatenate(recorder.images)),
        cases=np.full(len(values), instances[0].study_instance_uid),
        origin=_origin(package),
        truth=np.full(len(values), ""),
    )


def phantom_features(package: LoadedPackage, *, per_pattern: int) -> Features:
    """Return features of texture phantoms, each a case of its own, with the pattern's name as truth.

    Raises
    ------
    ValueError
        The package is of a pipeline that has no texture phantoms.
    """
    if package.manifest.pipeline != "diffuse_lung":
        raise ValueError(f"pipeline {package.manifest.pipeline!r} has no texture phantoms; give DICOM files")
    patches = pure_patches(per_pattern, seed=_PHANTOM_SEED, scanner=usual_scanner)
    graph = feature_graph(package)
    values = package.run(graph, {next(iter(package.manifest.graphs[graph].inputs)): patches.images})[FEATURE]
    names = np.array(PATTERNS)[patches.classes]
    numbers = [f"phantom-{index:05d}" for index in range(len(values))]
    return Features(
        values=values,
        images=_bytes(patches.images[:, 0]),
        cases=np.array(numbers),
        origin=_origin(package),
        truth=names,
    )


def joined(parts: Sequence[Features]) -> Features:
    """Return the images of all parts, in their order."""
    names = ("values", "images", "cases", "truth")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Features(origin=parts[0].origin, **arrays)


def studies_in(folder: Path) -> Iterator[tuple[Instance, ...]]:
    """Yield the DICOM instances below a folder, study by study; files that are no DICOM are passed over."""
    studies: dict[str, list[Instance]] = defaultdict(list)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            instance = _instance(path)
        except InputError:
            continue
        studies[instance.study_instance_uid].append(instance)
    yield from (tuple(studies[uid]) for uid in sorted(studies))


def _instance(path: Path) -> Instance:
    attributes = read_attributes(path)
    uids = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "TransferSyntaxUID")
    sop, sop_class, study, series, syntax = (str(attributes.get(keyword) or "") for keyword in uids)
    return Instance(
        sop_instance_uid=sop,
        sop_class_uid=sop_class,
        study_instance_uid=study,
        series_instance_uid=series,
        transfer_syntax_uid=syntax,
        path=path,
        sha256="",
        size_bytes=path.stat().st_size,
        attributes=attributes,
    )


def _bytes(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def _origin(package: LoadedPackage) -> str:
    identity = package.identity
    return f"{identity.name} {identity.version} ({identity.sha256[:16]}), graph {feature_graph(package)}"
