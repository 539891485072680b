# SPDX-License-Identifier: Apache-2.0
"""The composition root refuses what cannot work, and gives back everything that it took."""

import hashlib
import os
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.processes import free_port, listens, wait_until
from harness.shipped import shipped
from service.bootstrap.node import Node
from service.bootstrap.packages import configuration_problems, start_problems
from service.domain.errors import ConfigurationError, WorkerError
from service.domain.event import Event, NodeStarted, PackageLoaded
from service.inference.package import default_packages_folder
from service.settings import Settings
from service.workflow import Flow


def settings(folder: Path, **changes: Any) -> Settings:
    sections: dict[str, Any] = {
        "node": {"host": "127.0.0.1", "port": free_port()},
        "storage": {"folder": folder},
        "destinations": [{"name": "pacs", "ae_title": "P", "host": "127.0.0.1", "port": 1}],
        "site": {"allow_demonstration": True},
        "http": {"port": free_port()},
    }
    chosen = {**sections, **changes}
    inference = {"self_test_studies": False, **chosen.get("inference", {})}  # held by test_study_tests
    return Settings.model_validate({**chosen, "inference": inference})


def test_a_node_starts_and_leaves_nothing_behind_when_it_stops(tmp_path: Path) -> None:
    events: list[Event] = []
    chosen = settings(tmp_path / "data")
    with Node(chosen, events.append) as node:
        assert listens(chosen.node.port)
        assert listens(chosen.http.port)
        node.wait_warm(120)
    assert not listens(chosen.node.port)
    assert not listens(chosen.http.port)
    assert any(isinstance(event, NodeStarted) for event in events)
    with Node(chosen, events.append):
        pass  # the lock was given back


def test_two_nodes_do_not_share_a_data_folder(tmp_path: Path) -> None:
    with Node(settings(tmp_path), lambda _: None), pytest.raises(ConfigurationError, match="in use by another"):
        Node(settings(tmp_path), lambda _: None).__enter__()


def test_a_port_that_is_taken_stops_the_start_and_frees_the_folder(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "one")
    other = settings(tmp_path / "two", node={"host": "127.0.0.1", "port": chosen.node.port})
    with Node(chosen, lambda _: None), pytest.raises(ConfigurationError, match=str(chosen.node.port)):
        Node(other, lambda _: None).__enter__()
    with Node(settings(tmp_path / "two"), lambda _: None):
        pass


def test_demonstrations_need_the_sites_word(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="allow_demonstration"):
        Node(settings(tmp_path, site={}), lambda _: None)


def test_results_need_somewhere_to_go(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="add the PACS"):
        Node(settings(tmp_path, destinations=[]), lambda _: None)


def packages_with_a_wrong_golden_result(folder: Path) -> Path:
    """Copy the packages; one has a golden result that no machine reproduces, listed with its right checksum."""
    shutil.copytree(default_packages_folder(), folder)
    package = shipped("diffuse-lung-demo", folder)
    golden = next((package / "golden").glob("*.npz"))
    before = hashlib.sha256(golden.read_bytes()).hexdigest()
    with np.load(golden, allow_pickle=False) as arrays:
        wrong = {name: arrays[name] + 1 if name.startswith("output") else arrays[name] for name in arrays.files}
    np.savez(golden, **wrong)
    manifest = package / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace(before, hashlib.sha256(golden.read_bytes()).hexdigest()))
    return folder


def test_a_package_that_is_not_reproduced_is_named_and_harms_no_other(tmp_path: Path) -> None:
    events: list[Event] = []
    packages = packages_with_a_wrong_golden_result(tmp_path / "packages")
    with Node(settings(tmp_path / "data", inference={"packages_folder": packages}), events.append) as node:
        node.wait_warm(120)
        wait_until(lambda: sum(isinstance(event, PackageLoaded) for event in events) == 3, seconds=30, what="packages")
        loaded = {event.package: event for event in events if isinstance(event, PackageLoaded)}
        assert "golden" in loaded["diffuse-lung-demo"].error
        assert [loaded[name].error for name in ("pneumoconiosis-demo", "mammography-demo")] == ["", ""]
        assert loaded["mammography-demo"].status == "demonstration"
        assert len(loaded["mammography-demo"].sha256_8) == 8


def test_an_altered_package_does_not_keep_the_others_from_running(tmp_path: Path) -> None:
    events: list[Event] = []
    packages = tmp_path / "packages"
    shutil.copytree(default_packages_folder(), packages)
    (shipped("diffuse-lung-demo", packages) / "LICENSE").write_text("Everything is allowed\n")
    chosen = settings(tmp_path / "data", inference={"packages_folder": packages})
    assert ["the file was altered" in problem for problem in configuration_problems(chosen)] == [True]
    with Node(chosen, events.append) as node:
        node.wait_warm(120)
        wait_until(lambda: sum(isinstance(event, PackageLoaded) for event in events) == 3, seconds=30, what="packages")
    loaded = {event.package: event for event in events if isinstance(event, PackageLoaded)}
    assert loaded["diffuse-lung-demo"].status == "rejected"
    assert [loaded[name].status for name in ("pneumoconiosis-demo", "mammography-demo")] == ["demonstration"] * 2


def test_an_altered_shadow_is_named(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    shutil.copytree(default_packages_folder(), packages)
    active = shipped("mammography-demo", packages)
    shadow = active.with_name("9.0.0")
    shutil.copytree(active, shadow)
    chosen = settings(
        tmp_path / "data",
        inference={"packages_folder": packages},
        pipelines={
            "mammography": {
                "package": "mammography-demo",
                "version": active.name,
                "shadow": [{"package": "mammography-demo", "version": shadow.name}],
            }
        },
        rules=[],
    )
    (problem,) = configuration_problems(chosen)
    assert problem.startswith("pipelines.mammography.shadow: ")
    assert start_problems(chosen) == []  # the node runs without it


def test_a_key_file_that_is_not_there_keeps_the_node_from_starting(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "data", inference={"signatures": {"keys": [tmp_path / "site.pem"]}})
    (problem,) = start_problems(chosen)
    assert problem.startswith(f"inference.signatures.keys: {tmp_path / 'site.pem'}: the key cannot be read")
    assert problem.endswith("put a PEM file there that this user may read, or correct the path")


def children_of_this_process() -> set[int]:
    """Return all children; those of other tests' servers, which may still run, among them."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for children in lists for pid in children.read_text().split()}


def ask_in_vain(node: Node) -> None:
    with pytest.raises(WorkerError):
        node.serving.any_pool().call({"task": "packages"})


def test_a_child_that_hangs_does_not_hold_up_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bootstrap.node.DRAIN_SECONDS", 1.0)
    others = children_of_this_process()
    with Node(settings(tmp_path), lambda _: None) as node:
        node.wait_warm(120)
        time.sleep(1)
        for child in children_of_this_process() - others:
            os.kill(child, signal.SIGSTOP)
        asking = threading.Thread(target=ask_in_vain, args=(node,))
        asking.start()
        time.sleep(0.5)
        stopping_at = time.monotonic()
    asking.join(10)
    assert time.monotonic() - stopping_at < 30
    assert not asking.is_alive()


def livez(chosen: Settings) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{chosen.http.port}/livez", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_livez_speaks_of_the_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, problems = settings(tmp_path), [""]
    monkeypatch.setattr(Flow, "problem", lambda _self: problems[-1])
    with Node(chosen, lambda _: None):
        assert livez(chosen) == 200
        problems.append("stuck; restart the node")
        assert livez(chosen) == 503
