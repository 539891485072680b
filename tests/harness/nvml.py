# SPDX-License-Identifier: Apache-2.0
"""A driver of NVIDIA at the seam of its own binding: GPUs as a test wants them, errors as NVML raises them."""

from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace

import pynvml


@dataclass
class FakeGpu:
    """A GPU; `lost` and the other switches may be turned between scrapes."""

    used: int = 3_000_000_000
    total: int = 8_000_000_000
    percent: int = 40
    ecc_errors: int | None = 0
    lost: bool = False
    tells_faults: bool = True
    faults: deque[int] = field(default_factory=deque)


class FakeNvml:
    """What of `pynvml` the node calls."""

    NVMLError = pynvml.NVMLError
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    NVML_VOLATILE_ECC = pynvml.NVML_VOLATILE_ECC
    nvmlEventTypeXidCriticalError = pynvml.nvmlEventTypeXidCriticalError  # noqa: N815 - NVML's name

    def __init__(self, *gpus: FakeGpu, driver: bool = True) -> None:
        self._gpus = gpus
        self._driver = driver

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names, here and below
        if not self._driver:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:  # noqa: N802
        return self._gpus[index]

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu) -> SimpleNamespace:  # noqa: N802
        if gpu.lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return SimpleNamespace(used=gpu.used, total=gpu.total)

    def nvmlDeviceGetUtilizationRates(self, gpu: FakeGpu) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=gpu.percent)

    def nvmlDeviceGetTotalEccErrors(self, gpu: FakeGpu, kind: int, since: int) -> int:  # noqa: N802
        assert (kind, since) == (self.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, self.NVML_VOLATILE_ECC)
        if gpu.ecc_errors is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return gpu.ecc_errors

    def nvmlEventSetCreate(self) -> list[FakeGpu]:  # noqa: N802
        return []

    def nvmlDeviceRegisterEvents(self, gpu: FakeGpu, kinds: int, watch: list[FakeGpu]) -> None:  # noqa: N802
        assert kinds == self.nvmlEventTypeXidCriticalError
        if not gpu.tells_faults:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        watch.append(gpu)

    def nvmlEventSetWait_v2(self, watch: list[FakeGpu], timeout_ms: int) -> SimpleNamespace:  # noqa: N802
        assert timeout_ms == 0, "a scrape must not wait"
        (gpu,) = watch
        if not gpu.faults:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
        return SimpleNamespace(eventData=gpu.faults.popleft())
