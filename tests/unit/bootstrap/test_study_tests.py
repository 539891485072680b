# SPDX-License-Identifier: Apache-2.0
"""Golden studies of the packages in use are run beside the work, and one that drifts goes out of service."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from study_entries import POLICY_FILE

from fakes import Recorder
from harness.packages import NAME, PIPELINE, VERSION, change_manifest, copy_package
from harness.processes import free_port, wait_until
from service.bootstrap.crews import Crews
from service.bootstrap.node import Node
from service.bootstrap.packages import ACTIVE, SHADOW, PackageChoice
from service.bootstrap.serving import Crew, Serving
from service.bootstrap.study_child import Limits, StudyRunner, run_studies
from service.bootstrap.study_tests import StudyTests
from service.domain.errors import DokueiError, PackageError, WorkerCrashedError, WorkerTimeoutError
from service.domain.event import GoldenStudiesTested
from service.domain.result import PackageIdentity, PackageStatus
from service.inference.worker import WorkerPool
from service.ports import InstalledPackage
from service.settings import InferenceSettings, Settings

LIMITS = Limits(seconds=200, memory_bytes=4_000_000_000)


def choice_of(folder: Path) -> PackageChoice:
    return PackageChoice(folder=folder, provider=("cpu",), threads=1)


def drifted(packages: Path, version: str) -> Path:
    """A package whose graph and golden tensors are right, and whose maps are scaled otherwise than at its maker's."""
    folder = copy_package(packages, version)

    def change(manifest: dict[str, Any]) -> None:
        manifest["parameters"]["cam_full_logit"] *= 2

    change_manifest(folder, change)
    return folder


# --- the child ------------------------------------------------------------------------------------------------------


def test_a_package_that_drifts_is_told_from_its_twin_by_whole_studies_alone(tmp_path: Path) -> None:
    """Real packages in a real child: every digest is right, and so are the golden tensors."""
    run = StudyRunner(idle=False)  # a busy machine would let it wait for minutes
    assert run(choice_of(copy_package(tmp_path, "0.2.0")), LIMITS) == ("dust", "clear")
    with pytest.raises(PackageError, match="the study comes to something else here: result"):
        run(choice_of(drifted(tmp_path, "0.3.0")), LIMITS)


def test_the_child_takes_idle_time_only_and_says_what_it_was_given(tmp_path: Path) -> None:
    run = StudyRunner("study_entries:start")
    choice = choice_of(tmp_path)
    assert run(choice, LIMITS) == (str(tmp_path),)
    assert (tmp_path / POLICY_FILE).read_text() == str(os.SCHED_IDLE)


def test_a_budget_is_not_held_where_only_idle_time_is_taken(tmp_path: Path) -> None:
    folder = copy_package(tmp_path, "0.2.0")
    change_manifest(folder, lambda manifest: manifest.update(budget={"seconds": 0.001, "memory_bytes": 1_000_000}))
    assert run_studies(choice_of(folder)) == ("dust", "clear")


def test_a_package_without_studies_is_not_loaded(tmp_path: Path) -> None:
    folder = copy_package(tmp_path, "0.2.0")

    def change(manifest: dict[str, Any]) -> None:
        manifest["golden_studies"], manifest["refuses_noise"] = [], False
        manifest["files"] = {name: digest for name, digest in manifest["files"].items() if "/clear/" not in name}
        manifest["files"] = {name: digest for name, digest in manifest["files"].items() if "/dust/" not in name}

    for study in ("dust", "clear"):
        for path in (folder / "golden" / study).iterdir():
            path.unlink()
    change_manifest(folder, change)
    assert run_studies(choice_of(folder)) == ()


def test_a_child_that_is_killed_ends_the_test_and_no_other_starts(tmp_path: Path) -> None:
    run = StudyRunner("study_entries:hang", idle=False)
    errors: list[DokueiError] = []

    def wait() -> None:
        try:
            run(choice_of(tmp_path), LIMITS)
        except DokueiError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until((tmp_path / POLICY_FILE).exists, seconds=60, what="the child does not start")
    run.kill()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(errors[0], WorkerCrashedError)
    with pytest.raises(DokueiError, match="the node is stopping"):
        run(choice_of(tmp_path), LIMITS)


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(WorkerTimeoutError):
        StudyRunner("study_entries:hang", idle=False)(choice_of(tmp_path), Limits(seconds=1, memory_bytes=None))


# --- what becomes of the answers --------------------------------------------------------------------------------------


class FakeRunner(StudyRunner):
    """Answers at once, or with an error, by the folder of the package; `asked` has every folder in order."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, DokueiError] = {}
        self.studies: tuple[str, ...] = ("one", "two")
        self.asked: list[str] = []
        self.limits: list[Limits] = []
        self.before: Callable[[], object] = lambda: None
        self.killed = threading.Event()

    def __call__(self, choice: PackageChoice, limits: Limits) -> tuple[str, ...]:
        self.asked.append(choice.folder.name)
        self.limits.append(limits)
        self.before()
        if choice.folder.name in self.answers:
            raise self.answers[choice.folder.name]
        return self.studies

    def kill(self) -> None:
        self.killed.set()


class Site:
    """Crews of light children, and the tests of their packages."""

    def __init__(self) -> None:
        self.events, self.run = Recorder(), FakeRunner()
        self.serving = Serving(self.events)
        self.inference = InferenceSettings(self_test_hours=0, provider=("cpu",))
        self.tests = StudyTests(self.serving, lambda: self.inference, observe=self.events, run=self.run)

    def open(self, *versions: str, role: str = ACTIVE, **said: Any) -> Crew:
        """Start a child with a package for each of up to two pipelines."""
        packages = {
            key: InstalledPackage(identity=identity(version), acceptance={})
            for key, version in zip((PIPELINE, "mammography"), versions, strict=False)
        }

        def start_pool(_: Any, heard: Callable[[dict[str, Any]], None], *, idle: bool) -> WorkerPool:
            initial = {key: {"sha256": item.identity.sha256} for key, item in packages.items()}
            assert idle is (role == SHADOW)  # these are not, so that no busy machine lets them wait
            return WorkerPool(
                "crew_entries:start",
                size=1,
                deadline_seconds=30,
                memory_bytes=None,
                initial={"packages": initial, **said},
                on_start=heard,
            )

        crew = self.serving.open(packages, role=role, start_pool=start_pool)
        crew.choices = {key: choice_of(Path(item.identity.version)) for key, item in packages.items()}
        if not said:
            crew.pool.wait_ready(30)
        return crew

    def serve(self, *versions: str, **said: Any) -> Crew:
        crew = self.open(*versions, **said)
        self.serving.go_over(crew, pipelines=crew.packages)
        return crew

    def told(self) -> list[tuple[str, str]]:
        return [(event.version, event.result) for event in self.events.of(GoldenStudiesTested)]


def identity(version: str) -> PackageIdentity:
    return PackageIdentity(name="film", version=version, sha256=version * 10, status=PackageStatus.SITE_VALIDATED)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.tests.stop()
    made.serving.kill()


def test_a_failure_takes_the_package_out_for_all_children_and_no_other(site: Site) -> None:
    site.serve("1.0", "2.0")
    site.run.answers["1.0"] = PackageError("golden/dust: the study comes to something else here")
    site.tests.run_due()
    assert site.told() == [("1.0", "failed"), ("2.0", "passed")]
    with pytest.raises(PackageError, match=r"film 1\.0 is out of service.*comes to something else.*dokuei reload"):
        site.serving.pool(identity("1.0"))
    assert site.serving.pool(identity("2.0")).ready
    assert "film 1.0 is out of service" in site.serving.notes()
    assert site.serving.problem() == ""


@pytest.mark.parametrize("error", [WorkerCrashedError("x", ended_by="SIGKILL"), WorkerTimeoutError("slow")])
def test_a_child_that_could_not_say_takes_nothing_out(site: Site, error: DokueiError) -> None:
    """The kernel was short of memory, or the machine busy: that says nothing of the package."""
    site.serve("1.0")
    site.run.answers["1.0"] = error
    site.tests.run_due()
    assert site.told() == [("1.0", "unfinished")]
    assert site.events.of(GoldenStudiesTested)[0].error == str(error)
    assert site.serving.pool(identity("1.0")).ready
    assert site.serving.notes() == ""


def test_each_package_is_tested_once_and_again_after_hours_and_in_new_children(site: Site) -> None:
    site.serve("1.0")
    site.tests.run_due()
    site.tests.run_due()
    assert site.run.asked == ["1.0"]
    site.inference = site.inference.model_copy(update={"self_test_hours": 0.2 / 3600})
    time.sleep(0.3)
    site.tests.run_due()
    site.inference = site.inference.model_copy(update={"self_test_hours": 24})
    site.tests.run_due()
    assert site.run.asked == ["1.0", "1.0"]
    site.serve("1.0")  # a reload brings a package back that was out: it must prove itself again
    site.tests.run_due()
    assert site.run.asked == ["1.0", "1.0", "1.0"]


def test_children_that_load_or_do_not_serve_yet_are_left_alone(site: Site) -> None:
    site.serve("1.0", start_seconds=60)
    site.open("2.0")
    site.tests.run_due()
    assert site.run.asked == []


def test_a_shadow_that_fails_is_told_of_and_takes_nothing_out(site: Site) -> None:
    site.serve("1.0")
    site.serving.shadow_with(site.open("1.0", role=SHADOW))
    site.tests.run_due()
    site.run.answers["1.0"] = PackageError("drifted")
    shadow = site.open("1.0", role=SHADOW)
    site.serving.shadow_with(shadow)
    site.tests.run_due()
    assert site.told() == [("1.0", "passed"), ("1.0", "passed"), ("1.0", "failed")]
    assert site.serving.pool(identity("1.0")).ready


def test_nothing_is_told_of_a_package_without_studies(site: Site) -> None:
    site.serve("1.0")
    site.run.studies = ()
    site.tests.run_due()
    assert (site.run.asked, site.told()) == (["1.0"], [])


def test_limits_are_those_of_the_site(site: Site) -> None:
    site.inference = InferenceSettings(provider=("cpu",), deadline_seconds=7, memory_bytes=1_500_000_000)
    site.serve("1.0")
    site.tests.run_due()
    assert site.run.limits == [Limits(seconds=70, memory_bytes=1_500_000_000)]


def test_the_tests_begin_by_themselves_and_can_be_switched_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bootstrap.study_tests.LOOK_SECONDS", 0.05)
    site.inference = InferenceSettings(self_test_studies=False)
    site.serve("1.0")
    site.tests.start()
    time.sleep(0.5)
    assert site.run.asked == []
    site.inference = InferenceSettings()
    wait_until(lambda: site.told() == [("1.0", "passed")], seconds=20, what="no test was made")


def test_a_stop_ends_the_test_and_says_nothing_of_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bootstrap.study_tests.LOOK_SECONDS", 0.05)
    site.run.before = lambda: site.run.killed.wait(30)
    site.run.answers["1.0"] = WorkerCrashedError("killed", ended_by="SIGKILL")
    site.serve("1.0", "2.0")
    site.tests.start()
    wait_until(lambda: site.run.asked == ["1.0"], seconds=20, what="no test began")
    site.tests.stop()
    assert site.run.killed.is_set()
    time.sleep(0.3)
    assert (site.run.asked, site.told()) == (["1.0"], [])


# --- a whole node -----------------------------------------------------------------------------------------------------


def configured(folder: Path, version: str) -> Settings:
    return Settings.model_validate(
        {
            "node": {"host": "127.0.0.1", "port": free_port()},
            "storage": {"folder": folder / "data"},
            "destinations": [{"name": "pacs", "ae_title": "P", "host": "127.0.0.1", "port": 1}],
            "site": {"allow_demonstration": True},
            "http": {"port": free_port()},
            "rules": [{"name": "film", "when": {"attribute": "Modality", "equals": "DX"}, "pipelines": [PIPELINE]}],
            "pipelines": {PIPELINE: {"package": NAME, "version": version}},
            "inference": {"packages_folder": folder / "packages"},
        }
    )


def test_a_node_takes_a_drifted_package_out_after_its_start_which_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.bootstrap.study_tests.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("service.bootstrap.study_tests.StudyRunner", partial(StudyRunner, idle=False))
    drifted(tmp_path / "packages", "0.2.0")
    events = Recorder()
    with Node(configured(tmp_path, "0.2.0"), events) as node:
        node.wait_warm(120)
        package = node.serving.packages[PIPELINE].identity
        assert node.serving.pool(package).ready  # it serves: loading found nothing, and waited for no study
        assert events.of(GoldenStudiesTested) == []
        wait_until(lambda: bool(events.of(GoldenStudiesTested)), seconds=200, what="no study was run")
        (event,) = events.of(GoldenStudiesTested)
        assert (event.package, event.version, event.result) == (NAME, "0.2.0", "failed")
        with pytest.raises(PackageError, match=r"golden studies come to something else here"):
            node.serving.pool(package)
        assert "is out of service" in node.serving.notes()


def test_every_crew_knows_how_its_packages_are_loaded(tmp_path: Path) -> None:
    copy_package(tmp_path / "packages", VERSION)
    serving = Serving(Recorder())
    crew = Crews(configured(tmp_path, VERSION), serving, Recorder()).start()
    try:
        choice = crew.choices[PIPELINE]
        assert choice.folder == tmp_path / "packages" / NAME / VERSION
        assert choice.sha256 == crew.packages[PIPELINE].identity.sha256
    finally:
        serving.kill()
