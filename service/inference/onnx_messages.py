# SPDX-License-Identifier: Apache-2.0
"""The fields of onnx.proto that the checks of a graph look at, for protobuf to parse.

ONNX Runtime itself requires protobuf; the onnx package, which would bring a second native parser of hostile bytes into
the node, is not needed. Fields that are not declared here are skipped, never interpreted.
"""

from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "ModelProto": {
        "ir_version": (1, "int64"),
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
        "name": (1, "string"),
        "f": (2, "float"),
        "s": (4, "bytes"),
        "t": (5, "TensorProto"),
        "g": (6, "GraphProto"),
        "floats": (7, "float*"),
        "tensors": (10, "TensorProto*"),
        "graphs": (11, "GraphProto*"),
        "sparse_tensor": (22, "SparseTensorProto"),
        "sparse_tensors": (23, "SparseTensorProto*"),
    },
    "SparseTensorProto": {"values": (1, "TensorProto"), "indices": (2, "TensorProto")},
    "TensorProto": {
        "dims": (1, "int64*"),
        "data_type": (2, "int32"),
        "segment": (3, "Skipped"),
        "float_data": (4, "float*"),
        "int32_data": (5, "int32*"),
        "string_data": (6, "bytes*"),
        "int64_data": (7, "int64*"),
        "name": (8, "string"),
        "raw_data": (9, "bytes"),
        "double_data": (10, "double*"),
        "uint64_data": (11, "uint64*"),
        "external_data": (13, "Skipped*"),
        "data_location": (14, "int32"),
    },
    "Skipped": {},
}
"""Field numbers of onnx.proto; * marks a repeated field."""
_SCALARS: Final = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "int64": _FIELD.TYPE_INT64,
    "int32": _FIELD.TYPE_INT32,
    "uint64": _FIELD.TYPE_UINT64,
    "float": _FIELD.TYPE_FLOAT,
    "double": _FIELD.TYPE_DOUBLE,
}


@cache
def model_class() -> Any:
    """Build the message classes from the table above, in a pool of their own (the onnx package may be loaded too)."""
    file = descriptor_pb2.FileDescriptorProto(name="dokuei_onnx.proto", package="dokuei", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            message.field.add(**_describe(field, number, kind))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("dokuei.ModelProto"))


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
