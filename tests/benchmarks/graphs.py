# SPDX-License-Identifier: Apache-2.0
"""Images per second of graphs, of the committed packages and full size, beside PyTorch and the matrix product."""

import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference
from torch import nn

from service.inference.manifest import Graph
from service.inference.package import default_packages_folder, find_packages
from service.inference.package_files import read_package
from service.inference.providers import available_devices
from service.inference.session import Session
from tests.benchmarks.bench import Bench
from tests.benchmarks.eager import COMMITTED, FULL_SIZE, eager, full_size
from tests.benchmarks.measure import Measurement, alone, compared, interleaved, spread

BATCHES = (1, 2, 4, 8, 16)
FREE_SIZE = 512
"""Rows and columns of an image whose size a graph leaves free."""
PRODUCT = 1536
"""Rows and columns of the matrices whose product is the machine's measured rate."""
RUN_SECONDS, QUICK_SECONDS = 1.0, 0.2
ORT, TORCH, NUMPY, ORT_PRODUCT = "ONNX Runtime", "PyTorch eager, the same network", "numpy", "ONNX Runtime, MatMul"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A graph to be measured: its ONNX file, its contract, and the same network in PyTorch."""

    title: str
    model: bytes
    contract: Graph
    network: nn.Module


def measure_graphs(bench: Bench) -> Iterator[Measurement]:
    """Measure each graph, the matrix product in the same turn, so that the machine's noise meets them alike."""
    seconds = QUICK_SECONDS if bench.quick else RUN_SECONDS
    for subject in subjects(bench.disk, bench.graphs):
        yield from _measure(subject, repeats=bench.repeats, seconds=seconds)
        bench.advance(subject.title)
    yield Measurement(name="load of the machine while graphs were measured", value=os.getloadavg()[0], unit="processes")


def subjects(folder: Path, pattern: str = "") -> Iterator[Subject]:
    """Yield the graphs of the committed packages, then the networks of the published sizes, one at a time.

    Only those whose title has a match of the regular expression `pattern`.

    Raises:
        LookupError: If none has.
    """
    asked = 0
    for package in find_packages(default_packages_folder()):
        files = read_package(package)
        for name, graph in files.manifest.graphs.items():
            title = f"{files.manifest.name} {name}"
            if not re.search(pattern, title):
                continue
            asked += 1
            yield Subject(
                title=title,
                model=files.contents[graph.file],
                contract=graph,
                network=COMMITTED[files.manifest.name, name](),
            )
    for name in FULL_SIZE:
        title = f"{name}, full size"
        if not re.search(pattern, title):
            continue
        asked += 1
        network, model, contract = full_size(name, folder)
        yield Subject(title=title, model=model, contract=contract, network=network)
    if not asked:
        raise LookupError(f"--graphs {pattern!r} matches no graph")


def _measure(subject: Subject, *, repeats: int, seconds: float) -> Iterator[Measurement]:
    threads = os.cpu_count() or 1
    products = {NUMPY: _numpy_product(), ORT_PRODUCT: _ort_product(threads)}
    for provider in available_devices():
        session = Session(subject.model, subject.contract, where=subject.title, provider=provider, threads=threads)
        for batch in BATCHES:
            inputs = example(subject.contract, batch=batch)
            runs: dict[str, Callable[[], object]] = {ORT: partial(session.run, inputs)}
            if provider == "cpu":
                runs[TORCH] = eager(subject.network, inputs)
            gflop = flops(subject.model, inputs) / 1e9
            rates = {key: partial(_rate, run, seconds) for key, run in runs.items()}
            rates |= {key: partial(_rate, run, seconds / 4) for key, (run, _) in products.items()}
            found = interleaved(rates, repeats=repeats)
            images = {key: [rate * batch for rate in found[key]] for key in runs}
            peaks = {key: statistics.median(found[key]) * work for key, (_, work) in products.items()}
            yield from _lines(f"{subject.title} on {provider}, batch {batch}", images, peaks, gflop=gflop / batch)


def _lines(
    title: str, images: dict[str, list[float]], peaks: dict[str, float], *, gflop: float
) -> Iterator[Measurement]:
    """Yield images per second beside PyTorch's, and GFLOP/s (`gflop` an image) beside those of matrix products."""
    name = f"{title}: images per second"
    if TORCH in images:
        yield from compared(name, "images/s", images, ours=ORT)
    else:
        yield alone(name, "images/s", images[ORT])
    rate = statistics.median(images[ORT]) * gflop
    for key, peak in peaks.items():
        yield Measurement(
            name=f"{title}: GFLOP/s",
            value=round(rate, 1),
            unit="GFLOP/s",
            against=f"float32 product, {key}",
            ratio=round(rate / peak, 3),
            spread=round(spread(images[ORT]), 3),
        )


def _rate(run: Callable[[], object], seconds: float) -> float:
    """Return runs per second over so many seconds, at least one run."""
    count, started = 0, time.perf_counter()
    while True:
        run()
        count += 1
        elapsed = time.perf_counter() - started
        if elapsed >= seconds:
            return count / elapsed


def example(graph: Graph, *, batch: int) -> dict[str, Any]:
    """Return random inputs of a graph, float32 (or as it wants), in a range that its contract names."""
    generator = np.random.default_rng(1)
    inputs = {}
    for name, tensor in graph.inputs.items():
        shape = [size if isinstance(size, int) else FREE_SIZE for size in tensor.shape]
        shape[0] = batch if not isinstance(tensor.shape[0], int) else shape[0]
        low, high = tensor.value_range or (0.0, 1.0)
        inputs[name] = generator.uniform(low, high, shape).astype(tensor.dtype)
    return inputs


def _numpy_product() -> tuple[Callable[[], object], float]:
    left, right = (np.random.default_rng(seed).random((PRODUCT, PRODUCT), np.float32) for seed in (1, 2))
    return lambda: left @ right, 2 * PRODUCT**3 / 1e9


def _ort_product(threads: int) -> tuple[Callable[[], object], float]:
    import onnxruntime

    shape = [PRODUCT, PRODUCT]
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "abc"}
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    graph = helper.make_graph([node], "product", [values["a"], values["b"]], [values["c"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = {name: np.random.default_rng(1).random(shape, np.float32) for name in "ab"}
    return lambda: session.run(["c"], inputs), 2 * PRODUCT**3 / 1e9


def flops(model: bytes, inputs: dict[str, Any]) -> float:
    """Return the floating point operations of convolutions and matrix products, two for each multiplication."""
    loaded = onnx.load_from_string(model)
    for value in loaded.graph.input:
        for dimension, size in zip(value.type.tensor_type.shape.dim, inputs[value.name].shape, strict=True):
            dimension.Clear()
            dimension.dim_value = size
    inferred = shape_inference.infer_shapes(loaded, data_prop=True).graph
    shapes = {item.name: list(item.dims) for item in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes[value.name] = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
    return float(sum(_operations(node, shapes) for node in inferred.node))


def _operations(node: Any, shapes: dict[str, list[int]]) -> int:
    if node.op_type == "Conv":
        weights, out = shapes[node.input[1]], shapes[node.output[0]]
        return 2 * int(np.prod(out)) * int(np.prod(weights[1:]))
    if node.op_type in {"MatMul", "Gemm"}:
        transposed = any(item.name == "transA" and item.i for item in node.attribute)
        inner = shapes[node.input[0]][-2 if transposed else -1]
        return 2 * int(np.prod(shapes[node.output[0]])) * inner
    return 0
