# SPDX-License-Identifier: Apache-2.0
"""GPUs in /metrics: what the driver says, what is left out when it says less, and nothing at all without one."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from harness.nvml import FakeGpu, FakeNvml
from service.observability import gpu as gpu_room
from service.observability.gpu import XID_EVENTS_AT_ONCE, GpuGauges, open_nvml
from service.observability.metrics import Metrics


def registry_of(*gpus: FakeGpu) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(GpuGauges(FakeNvml(*gpus)))
    return registry


@pytest.fixture
def with_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_room, "DRIVERS", (tmp_path,))


@pytest.fixture
def without_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_room, "DRIVERS", (tmp_path / "absent",))


def test_each_gpu_is_shown() -> None:
    registry = registry_of(FakeGpu(), FakeGpu(used=5, percent=100, ecc_errors=2))
    expected = {
        "dokuei_gpu_up": (1, 1),
        "dokuei_gpu_memory_used_bytes": (3e9, 5),
        "dokuei_gpu_memory_total_bytes": (8e9, 8e9),
        "dokuei_gpu_utilization_ratio": (0.4, 1),
    }
    for name, values in expected.items():
        assert tuple(registry.get_sample_value(name, {"gpu": gpu}) for gpu in "01") == values
    assert registry.get_sample_value("dokuei_gpu_errors_total", {"gpu": "1", "kind": "ecc"}) == 2


def test_critical_faults_are_counted_once_each() -> None:
    gpu = FakeGpu()
    registry = registry_of(gpu)
    gpu.faults.extend([79, 48])
    labels = {"gpu": "0", "kind": "xid"}
    assert registry.get_sample_value("dokuei_gpu_errors_total", labels) == 2
    assert registry.get_sample_value("dokuei_gpu_errors_total", labels) == 2


def test_a_flood_of_faults_does_not_hold_a_scrape_up() -> None:
    gpu = FakeGpu()
    registry = registry_of(gpu)
    gpu.faults.extend([13] * (XID_EVENTS_AT_ONCE + 5))
    labels = {"gpu": "0", "kind": "xid"}
    assert registry.get_sample_value("dokuei_gpu_errors_total", labels) == XID_EVENTS_AT_ONCE
    assert registry.get_sample_value("dokuei_gpu_errors_total", labels) == XID_EVENTS_AT_ONCE + 5


def test_a_lost_gpu_is_down_and_keeps_its_faults() -> None:
    gpu = FakeGpu()
    registry = registry_of(gpu, FakeGpu())
    gpu.lost = True
    gpu.faults.append(79)
    assert registry.get_sample_value("dokuei_gpu_up", {"gpu": "0"}) == 0
    assert registry.get_sample_value("dokuei_gpu_up", {"gpu": "1"}) == 1
    assert registry.get_sample_value("dokuei_gpu_memory_used_bytes", {"gpu": "0"}) is None
    assert registry.get_sample_value("dokuei_gpu_errors_total", {"gpu": "0", "kind": "xid"}) == 1


def test_what_a_gpu_does_not_have_is_left_out() -> None:
    registry = registry_of(FakeGpu(ecc_errors=None, tells_faults=False))
    assert registry.get_sample_value("dokuei_gpu_up", {"gpu": "0"}) == 1
    assert registry.get_sample_value("dokuei_gpu_errors_total", {"gpu": "0", "kind": "ecc"}) is None
    assert registry.get_sample_value("dokuei_gpu_errors_total", {"gpu": "0", "kind": "xid"}) == 0


@pytest.mark.usefixtures("without_a_driver")
def test_without_a_driver_the_binding_is_not_even_loaded(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> object:
        raise AssertionError("pynvml was loaded")

    assert open_nvml(load) is None
    assert caplog.records == []


@pytest.mark.usefixtures("with_a_driver")
def test_a_driver_without_the_extra_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> object:
        raise ImportError("pynvml")

    assert open_nvml(load) is None
    assert "install the extra 'gpu'" in caplog.text


@pytest.mark.usefixtures("with_a_driver")
def test_a_broken_driver_is_said_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert open_nvml(lambda: FakeNvml(driver=False)) is None
    assert "try nvidia-smi" in caplog.text


@pytest.mark.usefixtures("with_a_driver")
def test_the_real_binding_without_a_real_driver_harms_nothing() -> None:
    found = open_nvml()
    assert found is None or GpuGauges(found)


def test_no_gpu_no_series() -> None:
    metrics = Metrics()
    metrics.add_machine_collectors(None)
    text = generate_latest(metrics.registry)
    assert b"dokuei_gpu" not in text
    assert b"\ndokuei_process_resident_memory_bytes " in text
