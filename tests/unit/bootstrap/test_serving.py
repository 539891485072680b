# SPDX-License-Identifier: Apache-2.0
"""Packages change while studies are on their way: each study ends with the package it began with."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fakes import Recorder
from harness.processes import wait_until
from service.bootstrap.analyst import ChildAnalyst
from service.bootstrap.golden_tests import GoldenTests
from service.bootstrap.observation import WorkObserver
from service.bootstrap.packages import ACTIVE, SHADOW
from service.bootstrap.serving import Crew, Packages, Serving
from service.domain.errors import PackageError, WorkerCrashedError
from service.domain.event import GoldenTested, PackageLoaded, PackageRetired
from service.domain.result import PackageIdentity, PackageStatus, Priority, Reason
from service.inference.worker import WorkerPool
from service.ports import AnalysisRequest, InstalledPackage

PIPELINE = "pneumoconiosis"


def package(version: str) -> InstalledPackage:
    identity = PackageIdentity(name="film", version=version, sha256=version * 10, status=PackageStatus.SITE_VALIDATED)
    return InstalledPackage(identity=identity, acceptance={})


def request(version: str, *, seconds: float = 0.0) -> AnalysisRequest:
    """A study that began with a version of the package, and takes so long."""
    flags = (Reason(code="slow", message=str(seconds)),) if seconds else ()
    return AnalysisRequest(
        job_key="k",
        pipeline=PIPELINE,
        package=package(version).identity,
        study_instance_uid="1.2",
        instances=(),
        flags=flags,
        folder=Path("/nowhere"),
        analysed_at=datetime(2026, 1, 1, tzinfo=UTC),
        priority=Priority.ROUTINE,
    )


class Site:
    """A node's packages and nothing else of it."""

    def __init__(self) -> None:
        self.events = Recorder()
        self.serving = Serving(self.events)
        self.analyst = ChildAnalyst(self.serving, WorkObserver(self.events, str))
        self.idle: list[bool] = []
        """Whether the children of each crew, in the order of opening, take only the time that nobody else wants."""

    def open(self, *versions: str, role: str = ACTIVE, warm: bool = True, size: int = 1, **said: Any) -> Crew:
        """Start children with a version of the package of each of up to three pipelines."""
        keys = (PIPELINE, "mammography", "diffuse_lung") if role == ACTIVE else (f"{PIPELINE}/film/{versions[0]}",)
        packages = {key: package(version) for key, version in zip(keys, versions, strict=False)}

        def start_pool(packages: Packages, heard: Callable[[dict[str, Any]], None], *, idle: bool) -> WorkerPool:
            self.idle.append(idle)
            start_seconds = said.pop("start_seconds", 0)
            initial = {key: {"sha256": item.identity.sha256, **said} for key, item in packages.items()}
            return WorkerPool(
                "crew_entries:start",
                size=size,
                deadline_seconds=30,
                memory_bytes=None,
                initial={"packages": initial, "start_seconds": start_seconds},
                on_start=heard,
            )  # not idle: no busy machine lets them wait

        crew = self.serving.open(packages, role=role, start_pool=start_pool)
        if warm:
            crew.pool.wait_ready(30)
        return crew

    def serve(self, *versions: str, **said: Any) -> Crew:
        crew = self.open(*versions, **said)
        self.serving.go_over(crew, pipelines=crew.packages)
        return crew

    def said(self, asked: AnalysisRequest) -> str:
        """Version of the package that analyses a study."""
        return self.analyst.analyse(asked).headline[:3]


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.serving.kill()


@contextmanager
def in_progress(site: Site, asked: AnalysisRequest) -> Iterator[list[str]]:
    """A study that is being analysed meanwhile; the list has the version of its package at the end."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(site.said(asked)))
    thread.start()
    time.sleep(0.2)
    yield found
    thread.join(30)


def test_a_study_ends_with_the_package_it_began_with(site: Site) -> None:
    old = site.serve("1.0")
    with in_progress(site, request("1.0", seconds=1.0)) as running:
        site.serve("2.0")
        assert site.serving.packages[PIPELINE].identity.version == "2.0"
        assert site.said(request("2.0")) == "2.0"
        queued = site.said(request("1.0"))  # made before the change, begun after it
    assert (running, queued) == (["1.0"], "1.0")
    assert site.serving.unused({package("1.0").identity.sha256}) == []
    assert site.serving.unused({package("2.0").identity.sha256}) == [old]
    site.serving.end(old)
    assert not site.serving.runs(package("1.0").identity)
    assert site.serving.runs(package("2.0").identity)


def test_old_children_are_not_kept_for_what_the_new_ones_have_too(site: Site) -> None:
    old = site.serve("1.0", "3.0")
    site.serve("2.0", "3.0")
    assert site.serving.unused({package("3.0").identity.sha256}) == [old]
    assert site.serving.unused({package("1.0").identity.sha256, package("3.0").identity.sha256}) == []


def test_children_that_are_ended_finish_what_they_are_at(site: Site) -> None:
    old = site.serve("1.0")
    with in_progress(site, request("1.0", seconds=1.0)) as running:
        site.serve("2.0")
        site.serving.end(old)
    assert running == ["1.0"]


def test_a_change_and_the_way_back_are_told(site: Site) -> None:
    site.serve("1.0")
    site.serve("2.0")
    site.serve("1.0")
    assert [event.version for event in site.events.of(PackageLoaded)] == ["1.0", "2.0", "1.0"]
    assert [event.version for event in site.events.of(PackageRetired)] == ["1.0", "2.0"]
    assert site.said(request("1.0")) == "1.0"


def test_only_pipelines_whose_package_is_good_go_over(site: Site) -> None:
    old = site.serve("1.0", "1.0")
    new = site.open("2.0", "2.0")
    site.serving.go_over(new, pipelines=["mammography"])
    versions = {name: item.identity.version for name, item in site.serving.packages.items()}
    assert versions == {PIPELINE: "1.0", "mammography": "2.0"}
    assert site.serving.unused(()) == []
    assert site.events.of(PackageRetired) == []  # 1.0 still serves the other pipeline
    assert old in site.serving.crews()


def test_children_that_still_load_let_no_study_wait(site: Site) -> None:
    site.serve("1.0")
    site.open("1.0", warm=False, start_seconds=20)
    started = time.monotonic()
    assert site.said(request("1.0")) == "1.0"
    site.serving.any_pool()
    assert time.monotonic() - started < 5


def test_alike_children_are_told_of_once_and_one_that_differs_again(site: Site, tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.write_text("cuda")
    crew = site.serve("1.0", size=2, device_file=str(device))
    assert [event.device for event in site.events.of(PackageLoaded)] == ["cuda"]
    device.write_text("cpu")
    with pytest.raises(WorkerCrashedError):
        crew.pool.call({"task": "die"})
    wait_until(lambda: len(site.events.of(PackageLoaded)) == 2, seconds=20, what="nothing is told of the new child")
    assert site.events.of(PackageLoaded)[-1].device == "cpu"


class _Slow(dict[tuple[str, str], tuple[object, ...]]):
    """What was told, by somebody who takes a moment to look it up."""

    def get(self, key: Any, default: Any = None) -> Any:
        found = super().get(key, default)
        time.sleep(0.2)
        return found


def test_alike_children_that_become_warm_at_once_are_told_of_once(site: Site) -> None:
    crew = site.serve("1.0")
    site.serving._told = _Slow()
    site.events.events.clear()
    report = {"packages": {PIPELINE: {"device": "cpu", "golden_difference": 0.25, "seconds": 0.1, "error": ""}}}
    threads = [threading.Thread(target=site.serving._heard, args=(crew, report)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(site.events.of(PackageLoaded)) == 1


# --- golden tests ---------------------------------------------------------------------------------------------------


def test_a_package_that_drifts_is_taken_out_with_its_reason_and_comes_back_when_it_is_loaded_again(
    site: Site, tmp_path: Path
) -> None:
    drift = tmp_path / "drift"
    site.serve("1.0", size=2, drift_file=str(drift))
    tests = GoldenTests(site.serving, hours=0, observe=site.events)
    tests.run_once()
    assert site.said(request("1.0")) == "1.0"
    drift.touch()
    tests.run_once()
    with pytest.raises(PackageError, match=r"film 1.0 is out of service.*differs by 1.*dokuei reload"):
        site.said(request("1.0"))
    assert "out of service" in site.serving.notes()
    assert site.serving.problem() == ""  # the node takes studies in: their results say that they were not analysed
    drift.unlink()
    site.serve("1.0")
    assert site.said(request("1.0")) == "1.0"
    assert site.serving.notes() == ""
    results = [event.result for event in site.events.of(GoldenTested)]
    assert results[-3:] == ["passed", "failed", "passed"]


def test_a_drifting_package_takes_no_other_out(site: Site, tmp_path: Path) -> None:
    site.serve("1.0", "3.0")
    site.serving.take_out(package("1.0").identity, "drifted")
    assert site.serving.pool(package("3.0").identity).ready
    with pytest.raises(PackageError, match="drifted"):
        site.serving.pool(package("1.0").identity)


def test_golden_tests_repeat_by_themselves(site: Site) -> None:
    site.serve("1.0")
    tests = GoldenTests(site.serving, hours=0.1 / 3600, observe=site.events)
    tests.start()
    wait_until(lambda: len(site.events.of(GoldenTested)) > 3, seconds=20, what="no test was made")
    tests.stop()


# --- shadows --------------------------------------------------------------------------------------------------------


def test_a_shadow_has_children_of_its_own(site: Site) -> None:
    site.serve("1.0")
    shadow = site.open("2.0", role=SHADOW)
    site.serving.shadow_with(shadow)
    ((key, item),) = site.serving.shadows(PIPELINE)
    assert item.identity.version == "2.0"
    assert site.serving.shadows("mammography") == ()
    assert site.idle == [False, True]  # a shadow delays nobody
    assert site.analyst.shadow(request("2.0"), key).headline[:3] == "2.0"
    assert site.said(request("1.0")) == "1.0"
    assert not site.serving.runs(package("2.0").identity)  # a job made with it would not find it active
    assert [event.role for event in site.events.of(PackageLoaded)] == ["active", "shadow"]


def test_a_shadow_that_drifts_takes_nothing_out(site: Site, tmp_path: Path) -> None:
    drift = tmp_path / "drift"
    drift.touch()
    site.serve("1.0")
    site.serving.shadow_with(site.open("1.0", role=SHADOW, drift_file=str(drift)))
    GoldenTests(site.serving, hours=0, observe=site.events).run_once()
    assert site.said(request("1.0")) == "1.0"
    assert site.events.of(GoldenTested)[-1].result == "failed"
