# SPDX-License-Identifier: Apache-2.0
"""`dokuei models check` checks on the providers that the site uses."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.bootstrap.package_check import CheckOrder
from service.cli import models
from service.cli.app import app
from service.domain.errors import PackageError, ProviderError
from service.inference import providers
from service.inference.package import default_packages_folder, find_packages

FILM = next(folder for folder in find_packages(default_packages_folder()) if "pneumoconiosis" in str(folder))


class Children:
    """Stand in for the processes that check: every package is refused, and says on what it was tried."""

    def __init__(self) -> None:
        self.orders: list[CheckOrder] = []

    def __call__(self, order: CheckOrder) -> Any:
        self.orders.append(order)
        raise PackageError(f"differs on {order.provider}")


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    made = Children()
    monkeypatch.setattr(models, "check_in_child", made)
    return made


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with CUDA and OpenVINO, whose processor has no bf16."""
    names = [providers.CUDA, providers.OPENVINO, providers.CPU]
    monkeypatch.setattr(providers.onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(providers, "_has_bf16", lambda: False)


def config(folder: Path, *order: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(json.dumps({"inference": {"provider": list(order)}}))
    return path


def ask(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["models", "check", *map(str, arguments)])


def test_each_provider_of_the_sites_order_is_checked_that_this_machine_has(
    here: None, children: Children, tmp_path: Path
) -> None:
    order = ("cuda", "tensorrt", "openvino", "openvino_bf16", "cpu")
    answer = ask(FILM, "--config", config(tmp_path, *order), "--json")
    assert answer.exit_code == 1
    reports = json.loads(answer.stdout)
    assert [(report["provider"], report["problem"]) for report in reports] == [
        ("cuda", "differs on cuda"),
        ("openvino", "differs on openvino"),
        ("cpu", "differs on cpu"),
    ]
    assert set(reports[0]["not_checked_on"]) == {"tensorrt", "openvino_bf16"}
    assert [order.memory_bytes for order in children.orders] == [None, 12_000_000_000, 12_000_000_000]
    told = ask(FILM, "--config", config(tmp_path, *order))
    assert "not checked on tensorrt: " in told.stdout
    assert f"{FILM.name} on openvino: REJECTED: differs on openvino" in told.stderr.replace("\n", " ")


def test_auto_is_what_the_machine_has(here: None, children: Children) -> None:
    ask(FILM)
    assert [order.provider for order in children.orders] == ["cuda", "cpu"]


def test_what_is_asked_for_is_checked_alone_and_in_its_place(here: None, children: Children, tmp_path: Path) -> None:
    ask(FILM, "--config", config(tmp_path, "cuda", "cpu"), "--provider", "openvino", "--provider", "tensorrt")
    assert [order.provider for order in children.orders] == ["openvino", "tensorrt"]  # the second one says why not


@pytest.mark.parametrize("asked", [("gpu",), ("cpu", "cpu")])
def test_a_provider_that_is_not_known_is_refused(children: Children, asked: tuple[str, ...]) -> None:
    answer = ask(FILM, *(word for name in asked for word in ("--provider", name)))
    assert "known are cpu, cuda, openvino, openvino_bf16, tensorrt" in str(answer.exception)
    assert children.orders == []


def test_a_machine_without_any_provider_of_the_order_says_so(children: Children, tmp_path: Path) -> None:
    answer = ask(FILM, "--config", config(tmp_path, "tensorrt"))
    assert "has no TensorrtExecutionProvider; install the extra 'gpu'" in str(answer.exception)


def test_a_provider_that_is_not_here_refuses_in_a_real_child() -> None:
    """Nothing is checked on another one in silence."""
    with pytest.raises(ProviderError, match="has no"):
        providers.require_available("tensorrt")
    answer = ask(FILM, "--provider", "tensorrt", "--quick", "--json")
    (report,) = json.loads(answer.stdout)
    assert (answer.exit_code, report["ok"], report["provider"]) == (1, False, "tensorrt")
    assert "has no TensorrtExecutionProvider" in report["problem"]


def test_a_provider_that_is_here_is_named_in_the_report() -> None:
    answer = ask(FILM, "--provider", "cpu", "--quick", "--json")
    (report,) = json.loads(answer.stdout)
    assert (report["ok"], report["provider"], set(report["devices"].values())) == (True, "cpu", {"cpu"})
