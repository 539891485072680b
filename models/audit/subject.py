# SPDX-License-Identifier: Apache-2.0
"""What is audited: which tensors of a graph are the score and its map, and on which samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.recipes.mammography_data import SPACING_MM
from service.pipelines.mammography.sectors import SMOOTHED_MM

Images = NDArray[np.float32]
Maps = NDArray[np.float64]
Targets = NDArray[np.int64]
Link = Literal["sigmoid", "softmax"]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Samples:
    """Inputs with what is known about them.

    `inputs` float32 (N, C, H, W); `masks` (N, H, W) True inside the anatomy; `truth` (N, H, W) True where the finding
    is, None where nobody knows; `origin` says in words where they come from.
    """

    inputs: Images
    masks: NDArray[np.bool_]
    truth: NDArray[np.bool_] | None
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Names of a graph's tensors: one image input, the score's logits and the map that explains them.

    The logits are (N,) or (N, K), the map (N, 1, h, w) or (N, K, h, w). `logit` is the one logit that the map of one
    channel explains; None where every logit has a map of its own. Channel 0 of the input is the image; it alone is
    altered. `masked` says that channel 1 is the anatomy's mask. `low_pass_px` is the standard deviation of the low-pass
    that takes a finding away: a narrower one leaves it there, blurred.
    """

    graph: str
    image: str
    logits: str
    map: str
    link: Link
    logit: int | None = None
    masked: bool = False
    low_pass_px: float = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Score in [0, 1] (N,) and map (N, h, w) of each sample's target."""

    scores: NDArray[np.float64]
    maps: Maps


Explain = Callable[[Images, Targets], Explained]


class Explainer:
    """One graph as a function from images and target classes to scores and maps."""

    def __init__(self, model: bytes, subject: Subject, *, batch: int = 16) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._subject, self._batch = subject, batch
        tensors = {tensor.name for tensor in (*self._session.get_inputs(), *self._session.get_outputs())}
        missing = sorted({subject.image, subject.logits, subject.map} - tensors)
        if missing:
            raise ValueError(
                f"graph {subject.graph} has no tensor {', '.join(missing)}; it has {', '.join(sorted(tensors))}"
            )

    def targets(self, images: Images) -> Targets:
        """Return what to explain in each image: the given logit, or the highest."""
        if self._subject.logit is not None:
            return np.full(len(images), self._subject.logit)
        logits = np.concatenate([self._run(part)[0] for part in self._parts(images)])
        return np.asarray(logits.argmax(axis=1), dtype=np.int64)

    def __call__(self, images: Images, targets: Targets) -> Explained:
        """Return each target's score and map."""
        parts = zip(self._parts(images), self._parts(targets), strict=True)
        found = [self._explain(part, target) for part, target in parts]
        return Explained(
            scores=np.concatenate([scores for scores, _ in found]), maps=np.concatenate([maps for _, maps in found])
        )

    def _parts(self, array: NDArray[Any]) -> list[NDArray[Any]]:
        return [array[start : start + self._batch] for start in range(0, len(array), self._batch)]

    def _run(self, images: Images) -> tuple[NDArray[np.float64], Maps]:
        wanted = [self._subject.logits, self._subject.map]
        logits, maps = self._session.run(wanted, {self._subject.image: np.ascontiguousarray(images)})
        return logits.reshape(len(images), -1).astype(np.float64), maps.astype(np.float64)

    def _explain(self, images: Images, targets: Targets) -> tuple[NDArray[np.float64], Maps]:
        logits, maps = self._run(images)
        each = np.arange(len(images))
        channel = targets if maps.shape[1] > 1 else np.zeros_like(targets)
        return _link(logits, self._subject.link)[each, targets], maps[each, channel]


def _link(logits: NDArray[np.float64], link: Link) -> NDArray[np.float64]:
    if link == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-logits)))
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


SUBJECTS: Mapping[str, Subject] = {
    "pneumoconiosis": Subject(
        graph="zones", image="zones", logits="profusion_logits", map="cam", link="sigmoid", logit=2, masked=True
    ),
    "diffuse_lung": Subject(graph="patterns", image="patches", logits="logits", map="cam", link="softmax"),
    "mammography": Subject(
        graph="detector",
        image="image",
        logits="image_logit",
        map="raw_cam",
        link="sigmoid",
        logit=0,
        masked=True,
        low_pass_px=SMOOTHED_MM / SPACING_MM,
    ),
}
"""What the packages of each pipeline explain."""
