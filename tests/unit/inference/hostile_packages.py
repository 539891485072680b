# SPDX-License-Identifier: Apache-2.0
"""Hostile packages: each row of the table damages a good package in one way, and says the reason that it must be given.

A row's function gets the folder of a good package and returns what is to be loaded: nothing for that folder itself, or
another place. Every damage is resealed where it can be, so that the digests do not give it away.
"""

import io
import itertools
import os
import socket
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper
from tiny_package import IMAGE, edit_manifest, finish_model, replace_file, replace_model, scale_model

from service.inference.archive import write_archive
from service.inference.package_files import read_package
from service.inference.sealing import seal
from service.inference.signature import SignaturePolicy, add_signature

GRAPH = "graphs/zones.onnx"
GOLDEN = "golden/zones-00.npz"
Damage = Callable[[Path], Path | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One way to be hostile, and words of the reason for which it must be refused."""

    damage: Damage
    reason: str
    signed: bool = False
    """The site asks for signatures by `site_key`."""


TABLE: dict[str, Hostile] = {}


def hostile(reason: str, *, signed: bool = False) -> Callable[[Damage], Damage]:
    """Add a row to the table, named after the function."""

    def add(damage: Damage) -> Damage:
        name = damage.__name__.strip("_").replace("_", " ")  # type: ignore[attr-defined]
        assert name not in TABLE, name
        TABLE[name] = Hostile(damage=damage, reason=reason, signed=signed)
        return damage

    return add


def policy_of(row: Hostile, keys: Path) -> SignaturePolicy:
    """Return the site's policy for this row; its key lies in `keys`."""
    if not row.signed:
        return SignaturePolicy()
    keys.mkdir(exist_ok=True)
    path = keys / "site.pem"
    public = site_key().public_key()
    path.write_bytes(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return SignaturePolicy(required=True, keys=(path,))


def site_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


# --- files ----------------------------------------------------------------------------------------------------------


@hostile("SHA-256")
def _altered_byte(folder: Path) -> None:
    data = bytearray((folder / GRAPH).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / GRAPH).write_bytes(data)


@hostile("SHA-256")
def _altered_licence(folder: Path) -> None:
    (folder / "LICENSE").write_text("Everything is allowed\n")


@hostile("SHA-256")
def _truncated_file(folder: Path) -> None:
    os.truncate(folder / GRAPH, 40)


@hostile("holds golden/code.py, which the manifest does not list")
def _extra_file(folder: Path) -> None:
    (folder / "golden" / "code.py").touch()


@hostile(f"lacks {GRAPH}, which the manifest lists")
def _missing_file(folder: Path) -> None:
    (folder / GRAPH).unlink()


@hostile("has 2 names (hard links)")
def _hard_link(folder: Path) -> None:
    os.link(folder / GRAPH, folder.parent / "second name")


@hostile("is a symbolic link")
def _symbolic_link_to_a_file(folder: Path) -> None:
    (folder / "LICENSE").unlink()
    (folder / "LICENSE").symlink_to("/etc/passwd")


@hostile("is a symbolic link")
def _symbolic_link_to_a_folder(folder: Path) -> None:
    (folder / "golden").rename(folder.parent / "elsewhere")
    (folder / "golden").symlink_to(folder.parent / "elsewhere")


@hostile("cannot be read")
def _symbolic_link_as_manifest(folder: Path) -> None:
    (folder / "manifest.yaml").unlink()
    (folder / "manifest.yaml").symlink_to("/etc/passwd")


@hostile("is not a plain file")
def _pipe_whose_writer_never_comes(folder: Path) -> None:
    (folder / "LICENSE").unlink()
    os.mkfifo(folder / "LICENSE")


@hostile("cannot be read")
def _socket(folder: Path) -> None:
    (folder / "LICENSE").unlink()
    here = os.open(folder, os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"/proc/self/fd/{here}/LICENSE")  # the path of a socket is short
    os.close(here)


@hostile("everybody may write to it (mode 0666)")
def _file_that_everybody_may_change(folder: Path) -> None:
    (folder / GRAPH).chmod(0o666)


@hostile("everybody may write to it (mode 0777)")
def _folder_that_everybody_may_change(folder: Path) -> None:
    (folder / "graphs").chmod(0o777)


@hostile("at most 1073741824 are allowed")
def _huge_file(folder: Path) -> None:
    os.truncate(folder / "LICENSE", (1 << 30) + 1)


@hostile("holds more than 1000 files and folders")
def _thousand_folders(folder: Path) -> None:
    for index in range(1000):
        (folder / "golden" / f"f{index}").mkdir()


# --- graphs ---------------------------------------------------------------------------------------------------------


def _with_tensor(**fields: Any) -> Any:
    """Return the good model with fields of its one weight replaced."""
    model = scale_model()
    tensor = model.graph.initializer[0]
    for name, value in fields.items():
        tensor.ClearField(name)
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return model


def _external(location: str) -> Any:
    tensor = TensorProto(name="factor", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return finish_model([helper.make_node("Mul", ["image", "factor"], ["scaled"])], initializers=[tensor])


@hostile("not an ONNX file")
def _no_onnx_file(folder: Path) -> None:
    replace_file(folder, GRAPH, b"MZ" + bytes(range(256)))


@hostile("not an ONNX file")
def _truncated_graph_resealed(folder: Path) -> None:
    replace_file(folder, GRAPH, scale_model().SerializeToString()[:-20])


@hostile("is ONNX Runtime's own format, or passes for it")
def _graph_that_is_two_formats_at_once(folder: Path) -> None:
    """To protobuf these first bytes are a producer's name; to ONNX Runtime they say that its own format follows."""
    head = b"\x12\x06aaORTM"
    replace_file(folder, GRAPH, head + scale_model().SerializeToString())


@hostile("operator set 19 is newer than 18")
def _opset_too_new(folder: Path) -> None:
    replace_model(folder, scale_model(opset=19))


@hostile("IR version 11 is newer than 10")
def _ir_version_too_new(folder: Path) -> None:
    model = scale_model()
    model.ir_version = 11
    replace_model(folder, model)


@hostile("operator domain 'com.microsoft'; only ai.onnx is allowed")
def _operator_of_another_domain(folder: Path) -> None:
    node = helper.make_node("Gelu", ["image"], ["scaled"], domain="com.microsoft")
    replace_model(folder, finish_model([node], domains=("com.microsoft",)))


@hostile("operator 'NoSuchOperator' is not allowed in a package")
def _operator_that_does_not_exist(folder: Path) -> None:
    replace_model(folder, finish_model([helper.make_node("NoSuchOperator", ["image"], ["scaled"])]))


@hostile("operator 'RandomNormalLike' is not allowed in a package")
def _operator_of_chance(folder: Path) -> None:
    replace_model(folder, finish_model([helper.make_node("RandomNormalLike", ["image"], ["scaled"])]))


def _branch(depth: int) -> Any:
    """Return a graph that holds If within If, `depth` times."""
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    if depth == 0:
        node = helper.make_node("Identity", ["image"], ["result"])
    else:
        inner = _branch(depth - 1)
        node = helper.make_node("If", ["yes"], ["result"], then_branch=inner, else_branch=inner)
    return helper.make_graph([node], "branch", [], [result])


def _choice(depth: int) -> Any:
    condition = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    branch = _branch(depth)
    choice = helper.make_node("If", ["yes"], ["scaled"], then_branch=branch, else_branch=branch)
    return finish_model([choice], initializers=[condition])


@hostile("operator 'If' holds a graph of its own")
def _branches(folder: Path) -> None:
    replace_model(folder, _choice(1))


@hostile("operator 'Loop' holds a graph of its own")
def _endless_loop(folder: Path) -> None:
    step = helper.make_tensor_value_info("step", TensorProto.INT64, [])
    go = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    old = helper.make_tensor_value_info("old", TensorProto.FLOAT, None)
    new = helper.make_tensor_value_info("new", TensorProto.FLOAT, None)
    on = helper.make_tensor_value_info("on", TensorProto.BOOL, [])
    nodes = [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["old"], ["new"])]
    body = helper.make_graph(nodes, "body", [step, go, old], [on, new])
    times = helper.make_tensor("times", TensorProto.INT64, [], [2**62])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    loop = helper.make_node("Loop", ["times", "yes", "image"], ["scaled"], body=body)
    replace_model(folder, finish_model([loop], initializers=[times, yes]))


@hostile("operator 'Relu' holds a graph of its own")
def _graph_inside_a_plain_operator(folder: Path) -> None:
    node = helper.make_node("Relu", ["image"], ["scaled"])
    node.attribute.append(helper.make_attribute("hidden", _branch(0)))
    replace_model(folder, finish_model([node]))


@hostile("not an ONNX file")
def _graphs_a_hundred_deep(folder: Path) -> None:
    """Built as bytes, innermost first: protobuf's own writer would not go so deep."""
    graph = b""
    for _ in range(60):
        attribute = _field(6, graph)
        graph = _field(1, _field(4, b"If") + _field(5, attribute))
    replace_file(folder, GRAPH, _field(7, graph) + _field(8, b"\x10\x12"))


def _field(number: int, data: bytes) -> bytes:
    """Return a length-delimited field of protobuf's wire format."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


@hostile("holds functions or training graphs")
def _functions_that_multiply(folder: Path) -> None:
    """Each function calls the one before it ten times: 10 ** 12 operators, once they are put in."""
    model = scale_model()
    for level in range(12):
        calls = [helper.make_node(f"F{level - 1}" if level else "Relu", ["x"], ["y"], domain="") for _ in range(10)]
        made = helper.make_function("ai.onnx", f"F{level}", ["x"], ["y"], calls, [helper.make_opsetid("", 18)])
        model.functions.append(made)
    replace_model(folder, model)


@hostile("more than 20000 nodes")
def _too_many_nodes(folder: Path) -> None:
    names = ["image", *(f"step{index}" for index in range(20_000)), "scaled"]
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in itertools.pairwise(names)]
    replace_model(folder, finish_model(nodes))


@hostile("keeps tensors in other files")
def _weights_in_a_file_above(folder: Path) -> None:
    replace_model(folder, _external("../../etc/passwd"))


@hostile("keeps tensors in other files")
def _weights_in_an_absolute_file(folder: Path) -> None:
    replace_model(folder, _external("/etc/passwd"))


@hostile("keeps tensors in other files")
def _weights_in_a_file_of_the_current_folder(folder: Path) -> None:
    replace_model(folder, _external("secret"))


@hostile("tensor 'factor' holds NaN or infinity")
def _nan_weight(folder: Path) -> None:
    replace_model(folder, scale_model(float("nan")))


@hostile("tensor 'factor' holds NaN or infinity")
def _infinite_weight(folder: Path) -> None:
    replace_model(folder, scale_model(float("-inf")))


@hostile("tensor 'factor' holds NaN or infinity")
def _nan_weight_of_half_precision(folder: Path) -> None:
    data = np.array([np.nan], np.float16).tobytes()
    replace_model(folder, _with_tensor(data_type=TensorProto.FLOAT16, raw_data=data, float_data=[]))


@hostile("tensor 'factor' holds NaN or infinity")
def _nan_weight_of_bfloat16(folder: Path) -> None:
    replace_model(folder, _with_tensor(data_type=TensorProto.BFLOAT16, int32_data=[0x7FC0], float_data=[]))


@hostile("attribute 'value' holds NaN or infinity")
def _infinite_constant(folder: Path) -> None:
    value = helper.make_tensor("", TensorProto.FLOAT, [1], [float("inf")])
    nodes = [helper.make_node("Constant", [], ["f"], value=value), helper.make_node("Mul", ["image", "f"], ["scaled"])]
    replace_model(folder, finish_model(nodes))


@hostile("attribute 'alpha' holds NaN or infinity")
def _nan_in_an_attribute(folder: Path) -> None:
    replace_model(folder, finish_model([helper.make_node("Elu", ["image"], ["scaled"], alpha=float("nan"))]))


@hostile("holds text; a graph computes with numbers")
def _text_as_weights(folder: Path) -> None:
    text = helper.make_tensor("factor", TensorProto.STRING, [1], [b"#!/bin/sh"])
    node = helper.make_node("Identity", ["image"], ["scaled"])
    replace_model(folder, finish_model([node], initializers=[text]))


@hostile("has element type 14")
def _complex_weights(folder: Path) -> None:
    replace_model(folder, _with_tensor(data_type=TensorProto.COMPLEX64))


@hostile("that is 1 values, but holds 3")
def _weight_bigger_than_it_says(folder: Path) -> None:
    replace_model(folder, _with_tensor(raw_data=bytes(12), float_data=[]))


@hostile("that is 1000 values, but holds 1")
def _weight_smaller_than_it_says(folder: Path) -> None:
    replace_model(folder, _with_tensor(dims=[1000]))


@hostile("no whole number of values")
def _weight_of_half_a_value(folder: Path) -> None:
    replace_model(folder, _with_tensor(raw_data=bytes(5), float_data=[]))


@hostile("holds its values twice")
def _weight_in_two_versions(folder: Path) -> None:
    replace_model(folder, _with_tensor(raw_data=bytes(4)))


@hostile("at most 1073741824 are allowed")
def _weight_of_a_petabyte(folder: Path) -> None:
    replace_model(folder, _with_tensor(dims=[1 << 24, 1 << 24], float_data=[]))


@hostile("a dimension is 0 or more")
def _negative_dimension(folder: Path) -> None:
    replace_model(folder, _with_tensor(dims=[-1, -1]))


@hostile("is stored in segments")
def _weight_in_segments(folder: Path) -> None:
    model = scale_model()
    model.graph.initializer[0].segment.begin = 0
    replace_model(folder, model)


@hostile("holds sparse tensors")
def _sparse_weight(folder: Path) -> None:
    model = scale_model()
    sparse = model.graph.sparse_initializer.add(dims=[1 << 40])
    sparse.values.CopyFrom(helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0]))
    sparse.indices.CopyFrom(helper.make_tensor("indices", TensorProto.INT64, [1], [0]))
    replace_model(folder, model)


@hostile("tensor 'factor' is there twice")
def _weight_with_two_values(folder: Path) -> None:
    model = scale_model()
    model.graph.initializer.append(helper.make_tensor("factor", TensorProto.FLOAT, [1], [3.0]))
    replace_model(folder, model)


@hostile("ONNX Runtime refuses it")
def _operator_without_its_inputs(folder: Path) -> None:
    replace_model(folder, finish_model([helper.make_node("Conv", ["image"], ["scaled"])]))


@hostile("ONNX Runtime refuses it")
def _shapes_that_contradict_each_other(folder: Path) -> None:
    """The graph says of its result what no multiplication gives: shape inference is strict."""
    model = scale_model()
    model.graph.output[0].type.tensor_type.shape.dim[3].dim_value = 7
    replace_model(folder, model)
    edit_manifest(folder, lambda m: m["graphs"]["zones"]["outputs"]["scaled"].update(shape=["batch", 1, 4, 7]))


@hostile("image is ('float32', ('any', 1, 4, 6)), the manifest says")
def _other_shape_than_the_manifest_says(folder: Path) -> None:
    edit_manifest(folder, lambda m: m["graphs"]["zones"]["inputs"]["image"].update(shape=["batch", 1, 4, 8]))


@hostile("ONNX Runtime failed")
def _tensor_of_a_petabyte_on_the_way(folder: Path) -> None:
    """Small to store, too large to compute: a size that the graph makes up from its input."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [1 << 14, 1 << 12, 1 << 12, 1 << 12])
    axes = helper.make_tensor("axes", TensorProto.INT64, [4], [0, 1, 2, 3])
    nodes = [
        helper.make_node("ReduceMax", ["image", "axes"], ["one"], keepdims=1),
        helper.make_node("Expand", ["one", "shape"], ["huge"]),
        helper.make_node("ReduceMax", ["huge", "axes"], ["top"], keepdims=1),
        helper.make_node("Add", ["image", "top"], ["scaled"]),
    ]
    replace_model(folder, finish_model(nodes, initializers=[shape, axes]))


# --- golden tensors -------------------------------------------------------------------------------------------------


def npz(**arrays: Any) -> bytes:
    """Return golden tensors; __ stands for / in the names."""
    stream = io.BytesIO()
    np.savez(stream, **{name.replace("__", "/"): array for name, array in arrays.items()})
    return stream.getvalue()


@hostile("differ from the golden ones by 0.0009")
def _other_results_than_golden(folder: Path) -> None:
    replace_model(folder, scale_model(2.001))


@hostile("outputs/scaled holds NaN or infinity, to which nothing can be compared")
def _golden_nan(folder: Path) -> None:
    scaled = IMAGE * 2
    scaled[0, 0, 0, 0] = np.nan
    replace_file(folder, GOLDEN, npz(inputs__image=IMAGE, outputs__scaled=scaled))


@hostile("Object arrays cannot be loaded when allow_pickle=False")
def _golden_pickle(folder: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, **{"inputs/image": np.array([{"a": 1}], dtype=object)})
    replace_file(folder, GOLDEN, stream.getvalue())


@hostile("not golden tensors (no .npz file)")
def _golden_file_that_is_a_pickle_and_a_zip(folder: Path) -> None:
    replace_file(folder, GOLDEN, b"\x80\x04N." + npz(inputs__image=IMAGE, outputs__scaled=IMAGE * 2))


@hostile("unpacks to 300000000 bytes")
def _golden_bomb(folder: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inputs/image.npy", bytes(300_000_000))
    replace_file(folder, GOLDEN, stream.getvalue())


@hostile("not golden tensors")
def _golden_header_that_lies(folder: Path) -> None:
    """An array of 2 ** 60 numbers, of which 24 are there."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }"
    header += b" " * (118 - len(header)) + b"\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("inputs/image.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(96))
    replace_file(folder, GOLDEN, stream.getvalue())


# --- manifests ------------------------------------------------------------------------------------------------------


@hostile("aliases (*name) are not allowed")
def _yaml_bomb(folder: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    (folder / "manifest.yaml").write_text("\n".join(lines))


@hostile("could not determine a constructor")
def _yaml_that_makes_python_objects(folder: Path) -> None:
    (folder / "manifest.yaml").write_text("a: !!python/object/apply:os.system [id]\n")


@hostile("not plain YAML")
def _yaml_without_end(folder: Path) -> None:
    (folder / "manifest.yaml").write_text("[" * 100_000)


@hostile("key 'status' is given twice")
def _status_given_twice(folder: Path) -> None:
    with (folder / "manifest.yaml").open("a") as stream:
        stream.write("status: approved\n")


@hostile("not plain YAML ('utf-8' codec can't decode")
def _manifest_that_is_not_utf_8(folder: Path) -> None:
    with (folder / "manifest.yaml").open("ab") as stream:
        stream.write(b"# \xff\xfe\n")


@hostile("key colour value 'red': Extra inputs are not permitted")
def _unknown_key(folder: Path) -> None:
    edit_manifest(folder, lambda m: m.update(colour="red"))


@hostile("a file is named relative to the package folder")
def _graph_outside_the_folder(folder: Path) -> None:
    edit_manifest(folder, lambda m: m["graphs"]["zones"].update(file="../../../../etc/passwd"))


@hostile("differ in upper and lower case alone")
def _names_that_collide_on_other_systems(folder: Path) -> None:
    (folder / "license").write_text("another\n")
    seal(folder)


@hostile("status approved needs the promotions that lead to it")
def _status_without_promotion(folder: Path) -> None:
    edit_manifest(folder, lambda m: m.update(status="approved", clinical_use="research-only"))


def _step(before: str, after: str) -> dict[str, Any]:
    return {
        "from_status": before,
        "to_status": after,
        "package_version": "0.0.9",
        "package_sha256": "0" * 64,
        "report_sha256": "1" * 64,
        "approver": "Dr A. Example, physicist",
        "promoted_at": "2026-11-01T00:00:00Z",
    }


@hostile("the promotions prove status research, but the manifest says site-validated")
def _status_above_what_was_promoted(folder: Path) -> None:
    promotions = [_step("demonstration", "research")]
    edit_manifest(
        folder, lambda m: m.update(status="site-validated", clinical_use="research-only", promotions=promotions)
    )


@hostile("does not follow research; one step at a time")
def _promotion_over_a_rung(folder: Path) -> None:
    promotions = [_step("research", "approved")]
    edit_manifest(folder, lambda m: m.update(status="approved", clinical_use="research-only", promotions=promotions))


@hostile("needs 2 golden_studies and a budget at least")
def _research_without_golden_studies(folder: Path) -> None:
    edit_manifest(folder, lambda m: m.update(status="research", clinical_use="research-only"))


@hostile("map scaled of score score is not complete")
def _map_that_does_not_explain_its_score(folder: Path) -> None:
    def say(manifest: dict[str, Any]) -> None:
        for tensor in ("scaled", "score"):
            manifest["graphs"]["zones"]["outputs"][tensor] = {"dtype": "float32", "shape": ["batch", 1, 4, 6]}
        manifest["graphs"]["zones"]["outputs"]["score"]["shape"] = ["batch", 1]
        manifest["decompositions"] = [{"graph": "zones", "map": "scaled", "score": "score"}]

    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])
    model = scale_model()
    model.graph.initializer.append(axes)
    model.graph.node.append(helper.make_node("ReduceMax", ["scaled", "axes"], ["score"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1]))
    replace_model(folder, model)
    scaled = IMAGE * 2
    replace_file(
        folder, GOLDEN, npz(inputs__image=IMAGE, outputs__scaled=scaled, outputs__score=scaled.max(axis=(2, 3)))
    )
    edit_manifest(folder, say)


# --- signatures -----------------------------------------------------------------------------------------------------


def sign(folder: Path, key: Ed25519PrivateKey, *, days: int | None = None) -> None:
    """Sign a package as it was made 100 days ago."""
    now = datetime.now(UTC) - timedelta(days=100)
    expires = None if days is None else now + timedelta(days=days)
    identity = read_package(folder).identity
    data = add_signature(b"", identity, key=key, now=now, expires_at=expires)
    (folder / "SIGNATURES.json").write_bytes(data)


@hostile(
    "this site requires a signature by one of inference.signatures.keys, but the package is not signed", signed=True
)
def _unsigned(folder: Path) -> None:
    pass


@hostile("expired on", signed=True)
def _expired_signature(folder: Path) -> None:
    sign(folder, site_key(), days=30)


@hostile("is not among inference.signatures.keys", signed=True)
def _signature_by_a_stranger(folder: Path) -> None:
    sign(folder, Ed25519PrivateKey.generate())


@hostile("is not over this package", signed=True)
def _signature_over_other_bytes(folder: Path) -> None:
    sign(folder, site_key())
    replace_file(folder, "LICENSE", b"Everything is allowed\n")


@hostile("is not over this package", signed=True)
def _signature_whose_end_was_moved(folder: Path) -> None:
    sign(folder, site_key(), days=30)
    path = folder / "SIGNATURES.json"
    text = path.read_text()
    end = _value(text, "expires_at")
    path.write_text(text.replace(end, f"{int(end[:4]) + 10}{end[4:]}"))


@hostile("is not over this package", signed=True)
def _signature_by_a_stranger_in_the_name_of_the_site(folder: Path) -> None:
    sign(folder, site_key())
    named = (folder / "SIGNATURES.json").read_text()
    sign(folder, Ed25519PrivateKey.generate())
    forged = (folder / "SIGNATURES.json").read_text()
    (folder / "SIGNATURES.json").write_text(forged.replace(_value(forged, "key"), _value(named, "key")))


def _value(text: str, key: str) -> str:
    return text.split(f'"{key}": "')[1].split('"', maxsplit=1)[0]


@hostile("sign the package again")
def _signatures_that_are_no_signatures(folder: Path) -> None:
    (folder / "SIGNATURES.json").write_text('{"format": 1, "signatures": [{"key": "me", "value": "trust"}]}')


@hostile("at most 65536 are allowed")
def _signatures_without_end(folder: Path) -> None:
    (folder / "SIGNATURES.json").write_bytes(b"[" * 100_000)


# --- archives -------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a package by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def archive_with(folder: Path, *members: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Write the package as an archive with further members."""
    path = folder.parent.parent / "package.cadpkg"
    path.write_bytes(write_archive(contents(folder)))
    with zipfile.ZipFile(path, "a", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@hostile("a file is named relative to the package folder")
def _archive_with_a_path_upwards(folder: Path) -> Path:
    return archive_with(folder, ("../../evil.py", b"x"))


@hostile("a file is named relative to the package folder")
def _archive_with_an_absolute_path(folder: Path) -> Path:
    return archive_with(folder, ("/etc/cron.d/evil", b"x"))


@hostile("a file name has only letters")
def _archive_with_backslashes(folder: Path) -> Path:
    return archive_with(folder, ("..\\..\\evil.py", b"x"))


@hostile("is a link, a folder or a device")
def _archive_with_a_symbolic_link(folder: Path) -> Path:
    link = zipfile.ZipInfo("golden/link")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return archive_with(folder, (link, b"/etc/passwd"))


@hostile("is there twice")
def _archive_with_a_name_twice(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return archive_with(folder, ("LICENSE", b"another"))


@hostile("differs from another name in upper and lower case alone")
def _archive_with_names_that_collide(folder: Path) -> Path:
    return archive_with(folder, ("license", b"another"))


@hostile("is a file and a folder")
def _archive_with_a_file_that_is_a_folder_too(folder: Path) -> Path:
    return archive_with(folder, ("LICENSE/evil", b"x"))


@hostile("unpacks to")
def _archive_bomb(folder: Path) -> Path:
    path = archive_with(folder, ("golden/bomb", b"x"))
    data = bytearray(path.read_bytes())
    _claim_size(data, b"golden/bomb", 0x7FFFFFFF)
    _claim_size(data, GOLDEN.encode(), 0x7FFFFFFF)
    path.write_bytes(data)
    return path


def _claim_size(data: bytearray, name: bytes, size: int) -> None:
    """Write an unpacked size into the central directory's entry of a member (APPNOTE 4.3.12)."""
    at = data.rindex(name) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 24 : at + 28] = struct.pack("<I", size)


@hostile("damaged")
def _archive_member_longer_than_it_says(folder: Path) -> Path:
    path = archive_with(folder, ("golden/more", bytes(1000)), method=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    _claim_size(data, b"golden/more", 10)
    path.write_bytes(data)
    return path


@hostile("damaged")
def _truncated_archive(folder: Path) -> Path:
    path = archive_with(folder)
    os.truncate(path, path.stat().st_size - 30)
    return path


@hostile("is no zip archive from its first byte on")
def _archive_behind_a_program(folder: Path) -> Path:
    path = archive_with(folder)
    path.write_bytes(b"#!/bin/sh\nid\n" + path.read_bytes())
    return path


@hostile("compression method 12")
def _archive_with_another_compression(folder: Path) -> Path:
    return archive_with(folder, ("golden/more", b"x"), method=zipfile.ZIP_BZIP2)


@hostile("is encrypted")
def _encrypted_archive(folder: Path) -> Path:
    path = archive_with(folder, ("golden/more", b"x"))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"golden/more") - 46
    data[at + 8] |= 1
    path.write_bytes(data)
    return path


@hostile("holds golden/more, which the manifest does not list")
def _archive_with_an_extra_file(folder: Path) -> Path:
    return archive_with(folder, ("golden/more", b"x"))


@hostile("holds no manifest.yaml")
def _archive_without_manifest(folder: Path) -> Path:
    path = folder.parent.parent / "package.cadpkg"
    files = contents(folder)
    del files["manifest.yaml"]
    path.write_bytes(write_archive(files))
    return path


@hostile("has 1001 members")
def _archive_with_too_many_members(folder: Path) -> Path:
    path = folder.parent.parent / "package.cadpkg"
    path.write_bytes(write_archive({f"golden/{index}": b"" for index in range(1001)}))
    return path
