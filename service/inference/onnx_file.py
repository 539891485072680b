# SPDX-License-Identifier: Apache-2.0
"""Looks into an ONNX file before ONNX Runtime does: which operators, which weights, and whether it reaches elsewhere.

ONNX Runtime reads external tensor data through hard links, and relative to the current folder when a model comes from
memory, so a model could hand out any file that the node can read. Packages therefore hold single-file models only.
The checks of ONNX itself (each node against its operator's schema, shape inference) are those that ONNX Runtime makes
when it builds the session (see `session`), strictly.
"""

import math
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message import DecodeError

from service.domain.errors import PackageError
from service.inference.onnx_messages import model_class
from service.inference.onnx_tensors import check_tensor
from service.inference.operators import ALLOWED, CONTROL_FLOW

MAX_OPSET: Final = 18
MAX_IR_VERSION: Final = 10
MAX_NODES: Final = 20_000
_DOMAINS: Final = ("", "ai.onnx")
_EXTERNAL: Final = 1
"""TensorProto.DataLocation.EXTERNAL."""
_ORT_FORMAT: Final = b"ORTM"
"""Bytes 4 to 8 of ONNX Runtime's own format, by which it would read the file as something else than was checked."""


def check_onnx(data: bytes, *, where: str) -> None:
    """Accept a single-file model of allowed operators and finite weights.

    Raises
    ------
    PackageError
        Not ONNX, or of a newer version; an operator set other than ai.onnx or newer than 18; external data; functions;
        too many nodes; operators or constants that are not allowed.
    """
    model = _parse(data, where=where)
    _check_versions(model, where=where)
    if model.functions or model.training_info:
        raise PackageError(f"{where}: holds functions or training graphs; export a plain inference graph")
    if any(tensor.data_location == _EXTERNAL or tensor.external_data for tensor in _tensors(model.graph)):
        raise PackageError(f"{where}: keeps tensors in other files; save the model as one file")
    if len(model.graph.node) > MAX_NODES:
        raise PackageError(f"{where}: more than {MAX_NODES} nodes; simplify the graph")
    for node in model.graph.node:
        _check_node(node, where=f"{where}: operator {node.op_type!r}")
    _check_initializers(model.graph, where=where)


def operators_of(data: bytes, *, where: str) -> dict[str, int]:
    """Return how often each operator is used, by name.

    Raises
    ------
    PackageError
        Not ONNX.
    """
    counts: dict[str, int] = {}
    for node in _parse(data, where=where).graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return dict(sorted(counts.items()))


def _parse(data: bytes, *, where: str) -> Any:
    if data[4:8] == _ORT_FORMAT:
        raise PackageError(f"{where}: is ONNX Runtime's own format, or passes for it; a package holds ONNX files")
    try:
        model = model_class().FromString(data)
    except DecodeError as error:
        raise PackageError(f"{where}: not an ONNX file ({error}); re-install the package") from None
    if not model.HasField("graph") or not model.opset_import:
        raise PackageError(f"{where}: not an ONNX file (no graph); re-install the package")
    return model


def _check_versions(model: Any, *, where: str) -> None:
    if model.ir_version > MAX_IR_VERSION:
        raise PackageError(
            f"{where}: IR version {model.ir_version} is newer than {MAX_IR_VERSION}; export with an older onnx"
        )
    for opset in model.opset_import:
        _check_domain(opset.domain, where=where)
        if opset.version > MAX_OPSET:
            raise PackageError(
                f"{where}: operator set {opset.version} is newer than {MAX_OPSET}; export with opset {MAX_OPSET}"
            )


def _check_domain(domain: str, *, where: str) -> None:
    if domain not in _DOMAINS:
        raise PackageError(f"{where} uses operator domain {domain!r}; only ai.onnx is allowed")


def _check_node(node: Any, *, where: str) -> None:
    _check_domain(node.domain, where=where)
    if node.op_type in CONTROL_FLOW or any(_inner_graphs(attribute) for attribute in node.attribute):
        raise PackageError(f"{where} holds a graph of its own; control flow is not allowed: export without it")
    if node.op_type not in ALLOWED:
        raise PackageError(f"{where} is not allowed in a package; docs/model-packages.md lists what is")
    for attribute in node.attribute:
        _check_attribute(attribute, where=f"{where}: attribute {attribute.name!r}")


def _check_attribute(attribute: Any, *, where: str) -> None:
    if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
        raise PackageError(f"{where} is a sparse tensor; store it densely")
    if not all(map(math.isfinite, (attribute.f, *attribute.floats))):
        raise PackageError(f"{where} holds NaN or infinity; weights are finite: export the graph again")
    for tensor in _attribute_tensors(attribute):
        check_tensor(tensor, where=where)


def _check_initializers(graph: Any, *, where: str) -> None:
    if graph.sparse_initializer:
        raise PackageError(f"{where}: holds sparse tensors; store them densely")
    seen: set[str] = set()
    for tensor in graph.initializer:
        place = f"{where}: tensor {tensor.name!r}"
        if tensor.name in seen:
            raise PackageError(f"{place} is there twice; export the graph again")
        seen.add(tensor.name)
        check_tensor(tensor, where=place)


def _inner_graphs(attribute: Any) -> list[Any]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _attribute_tensors(attribute: Any) -> list[Any]:
    return [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and every graph inside its nodes; protobuf itself refuses more than 100 levels."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in _inner_graphs(attribute):
                yield from _graphs(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield every constant: initializers and tensor attributes, dense and sparse, at any depth."""
    for inner in _graphs(graph):
        yield from inner.initializer
        yield from _dense(inner.sparse_initializer)
        for node in inner.node:
            for attribute in node.attribute:
                yield from _attribute_tensors(attribute)
                yield from _dense([attribute.sparse_tensor, *attribute.sparse_tensors])


def _dense(sparse_tensors: Any) -> Iterator[Any]:
    for sparse in sparse_tensors:
        yield sparse.values
        yield sparse.indices
