# SPDX-License-Identifier: Apache-2.0
"""Looks into an ONNX file before ONNX Runtime does: which operators, and whether it reaches for other files.

ONNX Runtime reads external tensor data through hard links, and relative to the current folder when a model comes from
memory, so a model could hand out any file that the node can read. Packages therefore hold single-file models only.
The few fields needed of onnx.proto are declared here and parsed by protobuf, which ONNX Runtime itself requires.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from service.domain.errors import PackageError

MAX_OPSET: Final = 18
MAX_NODES: Final = 20_000
_DOMAINS: Final = ("", "ai.onnx")
_EXTERNAL: Final = 1
"""TensorProto.DataLocation.EXTERNAL."""

_FIELD = descriptor_pb2.FieldDescriptorProto
_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "ModelProto": {
        "graph": (7, "GraphProto"),
        "opset_import": (8, "OperatorSetIdProto*"),
        "training_info": (20, "Skipped*"),
        "functions": (25, "Skipped*"),
    },
    "OperatorSetIdProto": {"domain": (1, "string"), "version": (2, "int64")},
    "GraphProto": {
        "node": (1, "NodeProto*"),
        "initializer": (5, "TensorProto*"),
        "sparse_initializer": (15, "SparseTensorProto*"),
    },
    "NodeProto": {"op_type": (4, "string"), "attribute": (5, "AttributeProto*"), "domain": (7, "string")},
    "AttributeProto": {
        "t": (5, "TensorProto"),
        "g": (6, "GraphProto"),
        "tensors": (10, "TensorProto*"),
        "graphs": (11, "GraphProto*"),
        "sparse_tensor": (22, "SparseTensorProto"),
        "sparse_tensors": (23, "SparseTensorProto*"),
    },
    "SparseTensorProto": {"values": (1, "TensorProto"), "indices": (2, "TensorProto")},
    "TensorProto": {"external_data": (13, "Skipped*"), "data_location": (14, "int32")},
    "Skipped": {},
}
"""Field numbers of onnx.proto; * marks a repeated field."""


def check_onnx(data: bytes, *, where: str) -> None:
    """Accept a single-file model of standard operators.

    Raises
    ------
    PackageError
        Not ONNX; an operator set other than ai.onnx or newer than 18; external data; functions; too many nodes.
    """
    model = _parse(data, where=where)
    _check_opsets(model, where=where)
    if model.functions or model.training_info:
        raise PackageError(f"{where}: holds functions or training graphs; export a plain inference graph")
    for count, node in enumerate(_nodes(model.graph), start=1):
        if count > MAX_NODES:
            raise PackageError(f"{where}: more than {MAX_NODES} nodes; simplify the graph")
        _check_domain(node.domain, where=f"{where}: operator {node.op_type!r}")
    if any(tensor.data_location == _EXTERNAL or tensor.external_data for tensor in _tensors(model.graph)):
        raise PackageError(f"{where}: keeps tensors in other files; save the model as one file")


def _parse(data: bytes, *, where: str) -> Any:
    try:
        model = _model_class().FromString(data)
    except DecodeError as error:
        raise PackageError(f"{where}: not an ONNX file ({error}); re-install the package") from None
    if not model.HasField("graph") or not model.opset_import:
        raise PackageError(f"{where}: not an ONNX file (no graph); re-install the package")
    return model


def _check_opsets(model: Any, *, where: str) -> None:
    for opset in model.opset_import:
        _check_domain(opset.domain, where=where)
        if opset.version > MAX_OPSET:
            raise PackageError(
                f"{where}: operator set {opset.version} is newer than {MAX_OPSET}; export with opset {MAX_OPSET}"
            )


def _check_domain(domain: str, *, where: str) -> None:
    if domain not in _DOMAINS:
        raise PackageError(f"{where} uses operator domain {domain!r}; only ai.onnx is allowed")


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and every graph inside its If, Loop and Scan nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _nodes(graph: Any) -> Iterator[Any]:
    for inner in _graphs(graph):
        yield from inner.node


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield every constant: initializers and tensor attributes, dense and sparse, at any depth."""
    for inner in _graphs(graph):
        yield from inner.initializer
        yield from _dense(inner.sparse_initializer)
        for node in inner.node:
            for attribute in node.attribute:
                yield attribute.t
                yield from attribute.tensors
                yield from _dense([attribute.sparse_tensor, *attribute.sparse_tensors])


def _dense(sparse_tensors: Any) -> Iterator[Any]:
    for sparse in sparse_tensors:
        yield sparse.values
        yield sparse.indices


@cache
def _model_class() -> Any:
    """Build the message classes from the table above, in a pool of their own (the onnx package may be loaded too)."""
    file = descriptor_pb2.FileDescriptorProto(name="dokuei_onnx.proto", package="dokuei", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            message.field.add(**_describe(field, number, kind))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("dokuei.ModelProto"))


_SCALARS: Final = {"string": _FIELD.TYPE_STRING, "int64": _FIELD.TYPE_INT64, "int32": _FIELD.TYPE_INT32}


def _describe(name: str, number: int, kind: str) -> dict[str, Any]:
    base = kind.removesuffix("*")
    label = _FIELD.LABEL_REPEATED if kind.endswith("*") else _FIELD.LABEL_OPTIONAL
    scalar = _SCALARS.get(base)
    if scalar is not None:
        return {"name": name, "number": number, "label": label, "type": scalar}
    return {
        "name": name,
        "number": number,
        "label": label,
        "type": _FIELD.TYPE_MESSAGE,
        "type_name": f".dokuei.{base}",
    }
