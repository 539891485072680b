# SPDX-License-Identifier: Apache-2.0
"""Every hostile package is refused for its own reason, and nothing outside of it is read on the way."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hostile_drift  # noqa: F401 - adds its rows to the table
import hostile_reliability  # noqa: F401 - adds its rows to the table
import pytest
from hostile_packages import GOLDEN, TABLE, Hostile, contents, policy_of
from onnx import TensorProto, helper
from tiny_package import finish_model, replace_model, write_tiny

from service.domain.errors import PackageError
from service.inference.archive import write_archive
from service.inference.golden import check_golden
from service.inference.package import WarmUp, load_package, start_sessions
from service.inference.package_files import read_package


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("good"))


def _copy(good: Path, to: Path) -> Path:
    return Path(shutil.copytree(good, to / "tiny" / "0.1.0"))


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) >= 25


def test_the_package_that_is_damaged_is_good(good: Path, tmp_path: Path) -> None:
    """Guard of every row: what is refused is the damage."""
    load_package(_copy(good, tmp_path))
    path = tmp_path / "good.cadpkg"
    path.write_bytes(write_archive(contents(good)))
    assert load_package(path).identity == load_package(good).identity


@pytest.mark.parametrize("name", TABLE)
def test_refuses(good: Path, tmp_path: Path, name: str) -> None:
    row = TABLE[name]
    folder = _copy(good, tmp_path)
    place = row.damage(folder) or folder
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PackageError) as caught:
        load_package(place, provider="cpu", policy=policy_of(row, tmp_path / "keys"))
    assert row.reason in str(caught.value)
    assert str(place) in str(caught.value), "the reason names the place"
    assert [path for path in sorted(tmp_path.rglob("*")) if "keys" not in path.parts] == before, "nothing was written"


# --- what takes too long or too much ---------------------------------------------------------------------------------


def _slow_model() -> Any:
    """Minutes of work in many small steps from a few bytes: one matrix, multiplied by itself over and over."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [600, 600])
    axes = helper.make_tensor("axes", TensorProto.INT64, [4], [0, 1, 2, 3])
    nodes = [
        helper.make_node("ReduceMax", ["image", "axes"], ["one"], keepdims=0),
        helper.make_node("Expand", ["one", "shape"], ["m0"]),
    ]
    for step in range(4000):
        nodes.append(helper.make_node("MatMul", [f"m{step}", f"m{step}"], [f"p{step}"]))
        nodes.append(helper.make_node("Tanh", [f"p{step}"], [f"m{step + 1}"]))
    nodes.append(helper.make_node("ReduceMax", ["m4000"], ["top"], keepdims=0))
    nodes.append(helper.make_node("Add", ["image", "top"], ["scaled"]))
    return finish_model(nodes, initializers=[shape, axes])


def test_a_graph_that_takes_too_long_is_ended(good: Path, tmp_path: Path) -> None:
    folder = _copy(good, tmp_path)
    replace_model(folder, _slow_model())
    files = read_package(folder)
    session = start_sessions(files, provider="cpu", how=WarmUp(order=("cpu",)))["zones"]
    started = time.monotonic()
    with pytest.raises(PackageError, match=r"ran for more than 0.3 s; simplify the graph"):
        check_golden(session, files.contents[GOLDEN], tolerance=1e-3, where="x", limit_seconds=0.3)
    assert time.monotonic() - started < 10


# --- nothing else is read --------------------------------------------------------------------------------------------


LOADER = """
import json, sys
from pathlib import Path
from service.domain.errors import PackageError
from service.inference.package import load_package
from service.inference.signature import SignaturePolicy

places, good, secret = json.loads(Path(sys.argv[1]).read_text())
load_package(Path(good), provider="cpu")  # everything that is imported late has been imported
Path("/BEGIN-OF-HOSTILITY").exists()
refused = 0
for place, keys in places:
    policy = SignaturePolicy(required=bool(keys), keys=tuple(map(Path, keys)))
    try:
        load_package(Path(place), provider="cpu", policy=policy)
    except PackageError:
        refused += 1
if secret:
    Path(secret).read_bytes()
Path("/END-OF-HOSTILITY").exists()
print(refused)
"""
_OPENED = re.compile(r'(?:open|openat|openat2)\((?:[^,"]*, )?"([^"]*)"')
_MACHINE = ("/proc/", "/sys/", "/dev/", "/etc/localtime", sys.base_prefix, sys.prefix)
"""What ONNX Runtime asks about the processor, and Python's own libraries."""


def _opened(rows: Iterable[Hostile], good: Path, tmp_path: Path, *, secret: str = "") -> tuple[int, list[str]]:
    """Load every hostile package under strace; return how many were refused, and what was opened meanwhile."""
    places = []
    for index, row in enumerate(rows):
        folder = _copy(good, tmp_path / f"p{index}")
        place = row.damage(folder) or folder
        places.append((str(place), [str(key) for key in policy_of(row, tmp_path / "keys").keys]))
    order, log = tmp_path / "order.json", tmp_path / "strace.txt"
    order.write_text(json.dumps([places, str(good), secret]))
    calls = "trace=open,openat,openat2,stat,newfstatat,statx,access,faccessat2"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run(
        ["strace", "-f", "-qq", "-s", "4096", "-e", calls, "-o", str(log), sys.executable, "-c", LOADER, str(order)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
        timeout=200,
    )
    _, _, rest = log.read_text().partition("/BEGIN-OF-HOSTILITY")
    during, _, _ = rest.partition("/END-OF-HOSTILITY")
    return int(answer.stdout), _OPENED.findall(during)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_nothing_outside_the_package_is_opened(good: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\x00\x00\x28\x42")  # what a hostile graph in this folder asks for
    refused, opened = _opened(TABLE.values(), good, tmp_path)
    assert refused == len(TABLE)
    assert any(f"{tmp_path}/p0/" in path for path in opened), "guard: strace sees what is opened"
    allowed = (f"{tmp_path}/p", f"{tmp_path}/keys/")
    strange = sorted({path for path in opened if not path.startswith((*allowed, *_MACHINE))})
    assert strange == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_watch_sees_a_file_that_is_opened_elsewhere(good: Path, tmp_path: Path) -> None:
    """Guard of the test above."""
    secret = tmp_path / "elsewhere"
    secret.write_text("x")
    _, opened = _opened(list(TABLE.values())[:1], good, tmp_path, secret=str(secret))
    assert str(secret) in opened
