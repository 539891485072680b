# SPDX-License-Identifier: Apache-2.0
"""config.yaml is read again while the node runs: real packages in real child processes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import Recorder
from harness.packages import NAME, PIPELINE, copy_package, spoil_golden
from harness.processes import free_port, wait_until
from service.bootstrap.crews import Crews, Reloader, needs_restart, taken_over
from service.bootstrap.node import Node
from service.bootstrap.serving import Serving
from service.domain.event import ConfigurationReloaded, GoldenTested, PackageLoaded, PackageRetired
from service.settings import Settings, parse_settings


class Site:
    """A node with one pipeline, and its config.yaml."""

    def __init__(self, folder: Path) -> None:
        self.packages = folder / "packages"
        for version in ("0.1.0", "0.2.0"):
            copy_package(self.packages, version, threshold=0.5 + float(version[2]) / 10)
        self.settings = self.configured(folder / "data", "0.1.0")
        self.asked: Callable[[], Settings] = lambda: self.settings
        self.events = Recorder()
        self.node = Node(self.settings, self.events, read_again=self.read_again)

    def read_again(self) -> Settings:
        return self.asked()

    def configured(self, data: Path, version: str) -> Settings:
        return Settings.model_validate(
            {
                "node": {"host": "127.0.0.1", "port": free_port()},
                "storage": {"folder": data},
                "destinations": [{"name": "pacs", "ae_title": "P", "host": "127.0.0.1", "port": 1}],
                "site": {"allow_demonstration": True},
                "http": {"port": free_port()},
                "rules": [{"name": "film", "when": {"attribute": "Modality", "equals": "DX"}, "pipelines": [PIPELINE]}],
                "pipelines": {PIPELINE: {"package": NAME, "version": version}},
                "inference": {"packages_folder": self.packages, "self_test_studies": False},
            }
        )

    def ask(self, **changes: Any) -> ConfigurationReloaded:
        """Reload with other packages, and wait for what becomes of it."""
        choice = self.settings.pipelines[PIPELINE].model_copy(update=changes)
        self.asked = lambda: self.settings.model_copy(update={"pipelines": {PIPELINE: choice}})
        return self.reload()

    def reload(self) -> ConfigurationReloaded:
        before = len(self.events.of(ConfigurationReloaded))
        self.node.reload()
        wait_until(
            lambda: len(self.events.of(ConfigurationReloaded)) > before, seconds=120, what="the reload does not end"
        )
        event: ConfigurationReloaded = self.events.of(ConfigurationReloaded)[-1]
        return event

    @property
    def version(self) -> str:
        return self.node.serving.packages[PIPELINE].identity.version


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    with made.node:
        made.node.wait_warm(120)
        yield made


def test_packages_change_and_a_bad_one_leaves_the_old_one_in_service(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = site.events.of(PackageLoaded)
    assert [(event.version, event.device, event.role) for event in loaded] == [("0.1.0", "cpu", "active")]
    assert [event.result for event in site.events.of(GoldenTested)] == ["passed"]

    assert site.ask(version="0.2.0").result == "applied"
    assert site.version == "0.2.0"
    assert [event.version for event in site.events.of(PackageRetired)] == ["0.1.0"]

    spoil_golden(copy_package(site.packages, "0.3.0"))
    answer = site.ask(version="0.3.0")
    assert (answer.result, answer.kept, site.version) == ("partly", (PIPELINE,), "0.2.0")
    assert "the one before it stays" in answer.problem
    assert "golden" in site.events.of(PackageLoaded)[-1].error

    missing = site.ask(version="9.9.9")
    assert (missing.result, site.version) == ("rejected", "0.2.0")
    assert f"package {NAME} 9.9.9 is not in" in missing.problem

    site.asked = lambda: parse_settings("pipelines: {pneumoconiosis: {packages: x}}")
    unread = site.reload()
    assert (unread.result, site.version) == ("rejected", "0.2.0")
    assert "did you mean 'package'?" in unread.problem

    monkeypatch.setattr("service.bootstrap.crews.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("service.bootstrap.crews.LOOK_SECONDS", 0.1)
    assert site.ask(version="0.1.0").result == "applied"  # the way back
    assert site.version == "0.1.0"
    wait_until(lambda: len(site.node.serving.crews()) == 1, seconds=30, what="old children live on")


def test_a_reload_takes_packages_over_and_names_what_needs_a_restart(tmp_path: Path) -> None:
    present = Settings.model_validate({"pipelines": Settings().pipelines, "inference": {"workers": 2}})
    asked = Settings.model_validate(
        {
            "inference": {"workers": 4, "provider": ["cuda", "cpu"]},
            "site": {"allow_demonstration": True},
            "pipelines": {**Settings().pipelines, "mammography": {"package": "other", "version": "1.0.0"}},
        }
    )
    result = taken_over(present, asked)
    assert result.inference.provider == ("cuda", "cpu")
    assert result.inference.workers == 2
    assert result.pipelines["mammography"].package == "other"
    assert not result.site.allow_demonstration
    assert needs_restart(present, asked) == ("site", "inference.workers")
    fewer = asked.model_copy(update={"pipelines": {}})
    assert "pipelines.mammography" in needs_restart(present, fewer)
    assert taken_over(present, fewer).pipelines == present.pipelines


def test_the_running_nodes_word_on_demonstrations_counts_and_not_that_of_the_file(tmp_path: Path) -> None:
    """What a restart would allow must not run before it."""
    copy_package(tmp_path, "1.0.0", status="research")
    copy_package(tmp_path, "2.0.0")

    def configured(version: str, **site: bool) -> Settings:
        return Settings.model_validate(
            {
                "destinations": [{"name": "pacs", "ae_title": "P", "host": "127.0.0.1", "port": 1}],
                "rules": [],
                "pipelines": {PIPELINE: {"package": NAME, "version": version}},
                "inference": {"packages_folder": tmp_path},
                "site": site,
            }
        )

    events = Recorder()
    serving = Serving(events)
    crews = Crews(configured("1.0.0"), serving, events)
    asked = configured("2.0.0", allow_demonstration=True)
    reloader = Reloader(crews, serving, read=lambda: asked, ledger=None, observe=events)  # type: ignore[arg-type]
    answer = reloader.reload()
    assert (answer.result, answer.restart) == ("rejected", ("site",))
    assert "is a demonstration" in answer.problem
    assert serving.crews() == ()
