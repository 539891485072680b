# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA's driver says of the GPUs: memory, load and faults. Without a driver there is no series and no error.

`nvidia-ml-py`, NVIDIA's own binding of NVML, comes with the extra `gpu`. Where there is no driver it is not imported.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)
DRIVERS: Final = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""One of them is there where a process can reach a GPU of NVIDIA: the kernel's module, a container, WSL 2."""
XID_EVENTS_AT_ONCE: Final = 100
"""More faults than this wait for the next scrape: a GPU that fails in a loop must not hold one up."""


class _Families(NamedTuple):
    up: GaugeMetricFamily
    used: GaugeMetricFamily
    total: GaugeMetricFamily
    utilisation: GaugeMetricFamily
    errors: CounterMetricFamily


class GpuGauges(Collector):
    """The GPUs by index.

    Parameters
    ----------
    nvml
        The module `pynvml`, after `nvmlInit`.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._devices = {str(index): device for index, device in _devices(nvml)}
        self._xids = dict.fromkeys(self._devices, 0)
        self._watches = {name: watch for name, device in self._devices.items() if (watch := _watch(nvml, device))}

    def describe(self) -> Iterator[Metric]:
        """Name the metrics without asking the driver."""
        yield from _families()

    def collect(self) -> Iterator[Metric]:
        """Ask the driver; a GPU that does not answer is down, and says nothing else."""
        families = _families()
        for name, device in self._devices.items():
            self._count_xids(name)
            families.errors.add_metric([name, "xid"], self._xids[name])
            families.up.add_metric([name], float(self._ask(families, name, device)))
        yield from families

    def _ask(self, families: _Families, name: str, device: Any) -> bool:
        nvml = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(device)
        except nvml.NVMLError:
            return False
        families.used.add_metric([name], memory.used)
        families.total.add_metric([name], memory.total)
        with suppress(nvml.NVMLError):  # not every GPU has this or the next
            families.utilisation.add_metric([name], nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100)
        with suppress(nvml.NVMLError):
            kind, since = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
            families.errors.add_metric([name, "ecc"], nvml.nvmlDeviceGetTotalEccErrors(device, kind, since))
        return True

    def _count_xids(self, name: str) -> None:
        """Take the faults that the driver has noted since the last scrape."""
        watch = self._watches.get(name)
        with suppress(self._nvml.NVMLError):  # a timeout: there are no more
            for _ in range(XID_EVENTS_AT_ONCE if watch else 0):
                self._nvml.nvmlEventSetWait_v2(watch, 0)
                self._xids[name] += 1


def open_nvml(load: Callable[[], Any] = lambda: import_module("pynvml")) -> Any | None:
    """Return `pynvml`, ready to be asked; None without a driver, without the extra, or when the driver is broken."""
    if not any(path.exists() for path in DRIVERS):
        return None
    try:
        nvml = load()
    except ImportError:
        logger.warning("there is an NVIDIA driver but no nvidia-ml-py: no metrics of GPUs; install the extra 'gpu'")
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        logger.warning("NVIDIA's driver does not answer (%s): no metrics of GPUs; try nvidia-smi", type(error).__name__)
        return None
    return nvml


def _devices(nvml: Any) -> Iterator[tuple[int, Any]]:
    count = 0
    with suppress(nvml.NVMLError):
        count = nvml.nvmlDeviceGetCount()
    for index in range(count):
        with suppress(nvml.NVMLError):  # one that this process may not see
            yield index, nvml.nvmlDeviceGetHandleByIndex(index)


def _watch(nvml: Any, device: Any) -> Any | None:
    """Have the driver note critical faults (Xid) of a GPU from now on; None where it cannot."""
    try:
        watch = nvml.nvmlEventSetCreate()
        nvml.nvmlDeviceRegisterEvents(device, nvml.nvmlEventTypeXidCriticalError, watch)
    except nvml.NVMLError:
        return None
    return watch


def _families() -> _Families:
    return _Families(
        up=GaugeMetricFamily("dokuei_gpu_up", "1 while a GPU that was there at the start answers.", labels=["gpu"]),
        used=GaugeMetricFamily("dokuei_gpu_memory_used_bytes", "Memory of a GPU in use, by anybody.", labels=["gpu"]),
        total=GaugeMetricFamily("dokuei_gpu_memory_total_bytes", "Memory of a GPU.", labels=["gpu"]),
        utilisation=GaugeMetricFamily(
            "dokuei_gpu_utilization_ratio", "Share of the last moment in which a GPU worked.", labels=["gpu"]
        ),
        errors=CounterMetricFamily(
            "dokuei_gpu_errors",
            "Critical faults (xid) since the node's start, uncorrected memory errors (ecc) since the driver's.",
            labels=["gpu", "kind"],
        ),
    )
