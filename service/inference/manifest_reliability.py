# SPDX-License-Identifier: Apache-2.0
"""The rules that what a manifest says of calibration, sets and limits keeps with the rest of the manifest."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from service.domain.reliability import GRAPHS, SCORE_TARGETS, SET_TARGETS, Limit, Reliability

LEAST_DEPTHS: Final = 2
"""One depth of a network does not see what another does."""


class Output(Protocol):
    """The contract of a graph's output, as far as it matters here."""

    @property
    def dtype(self) -> str:
        """Its element type."""

    @property
    def shape(self) -> tuple[int | str | None, ...]:
        """Its dimensions."""


Outputs = Mapping[str, Mapping[str, Output]]
"""Outputs by graph and name."""


def reliability_problem(reliability: Reliability, *, pipeline: str, outputs: Outputs) -> str | None:
    """Return the first rule that is broken, with the key and what is known; None when all are kept."""
    return next(_problems(reliability, pipeline=pipeline, outputs=outputs), None)


def _problems(reliability: Reliability, *, pipeline: str, outputs: Outputs) -> Iterator[str]:
    scores = [entry.target for entry in reliability.calibration]
    sets = [entry.target for entry in reliability.conformal]
    yield from _target_problems("calibration", scores, SCORE_TARGETS.get(pipeline, frozenset()), pipeline)
    yield from _target_problems("conformal", sets, SET_TARGETS.get(pipeline, frozenset()), pipeline)
    graphs = GRAPHS.get(pipeline, ())
    yield from _graph_problems("out_of_distribution", reliability.out_of_distribution, graphs, pipeline)
    yield from _graph_problems("disagreement", reliability.disagreement, graphs[-1:], pipeline)
    yield from _limit_problems("out_of_distribution", reliability.out_of_distribution, outputs)
    yield from _limit_problems("disagreement", reliability.disagreement, outputs)
    if 0 < len(reliability.out_of_distribution) < LEAST_DEPTHS:
        yield f"out_of_distribution has one output; distances at {LEAST_DEPTHS} depths are needed at least"


def _target_problems(key: str, targets: Iterable[str], known: Iterable[str], pipeline: str) -> Iterator[str]:
    counted = Counter(targets)
    for target, count in counted.items():
        if target not in known:
            shown = ", ".join(sorted(known)) or "nothing"
            yield f"{key} target {target} is unknown to pipeline {pipeline}, which has {shown}"
        if count > 1:
            yield f"{key} has target {target} twice"


def _graph_problems(key: str, limits: Iterable[Limit], judged: Iterable[str], pipeline: str) -> Iterator[str]:
    for limit in limits:
        if limit.graph not in judged:
            shown = ", ".join(judged) or "no graph"
            yield f"{key} of graph {limit.graph} is not judged by pipeline {pipeline}, which judges {shown}"


def _limit_problems(key: str, limits: Iterable[Limit], outputs: Outputs) -> Iterator[str]:
    counted = Counter((limit.graph, limit.output) for limit in limits)
    for (graph, name), count in counted.items():
        if graph not in outputs:
            yield f"{key} graph {graph} is not among {', '.join(sorted(outputs))}"
            continue
        output = outputs[graph].get(name)
        if output is None:
            yield f"{key} output {name} is not among those of graph {graph}: {', '.join(sorted(outputs[graph]))}"
        elif output.dtype != "float32" or len(output.shape) != 1:
            yield f"{key} output {name} of graph {graph} is not one float32 for each item of a batch, shape (N,)"
        if count > 1:
            yield f"{key} has output {name} of graph {graph} twice"
