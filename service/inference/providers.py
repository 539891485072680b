# SPDX-License-Identifier: Apache-2.0
"""Where graphs run: the execution providers by name, in the site's order, and why one of them was passed over.

ONNX Runtime falls back by itself, in silence: `InferenceSession` starts on the CPU when CUDA cannot be started, and
`run` goes on there when CUDA fails. Both are switched off here (`NO_FALLBACK`), because what was asked for and is not
used must be seen. What no order names is not used.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import onnxruntime

from service.domain.errors import DokueiError, PackageError, ProviderError
from service.inference.evidence import Precision
from service.settings import Provider

Started = TypeVar("Started")
Order = Provider | Sequence[Provider]

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"
OPENVINO: Final = "OpenVINOExecutionProvider"
NO_FALLBACK: Final = {"enable_fallback": 0}
"""Keyword arguments of InferenceSession."""
ABSENT, REFUSED, PARITY, LOST = "absent", "refused", "parity", "lost"
"""Why a provider is passed over: ONNX Runtime lacks it, it did not start, golden outputs differ, it failed at work."""


CPU_INFO: Final = Path("/proc/cpuinfo")
BF16_FLAGS: Final = re.compile(r"\b(avx512_bf16|amx_bf16|bf16)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A provider as ONNX Runtime knows it: its name, the extra of Dokuei that brings it, whether it is a GPU's."""

    name: str
    extra: str
    is_gpu: bool = False
    precision: Precision = "float32"
    """What it multiplies in."""


BACKENDS: Final[Mapping[Provider, Backend]] = {
    "cpu": Backend(name=CPU, extra="cpu"),
    "cuda": Backend(name=CUDA, extra="gpu", is_gpu=True),
    "tensorrt": Backend(name=TENSORRT, extra="gpu", is_gpu=True),
    "openvino": Backend(name=OPENVINO, extra="openvino"),
    "openvino_bf16": Backend(name=OPENVINO, extra="openvino", precision="bf16"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A provider that was asked for and is not used, and why: `reason` is one of the words above."""

    provider: str
    reason: str
    detail: str


def provider_order(order: Order) -> tuple[Provider, ...]:
    """Return the providers to try, the preferred one first; "auto" is what this machine has of CUDA and CPU."""
    chosen: tuple[Provider, ...] = (order,) if isinstance(order, str) else tuple(order)
    if chosen != ("auto",):
        return chosen
    return ("cuda", "cpu") if is_available("cuda") else ("cpu",)


def is_available(provider: Provider) -> bool:
    """Whether this ONNX Runtime has the provider; that it starts is another matter."""
    return BACKENDS[provider].name in onnxruntime.get_available_providers()


def available_devices() -> tuple[Provider, ...]:
    """Return the providers that this ONNX Runtime has."""
    return tuple(provider for provider in BACKENDS if is_available(provider))


def uses_gpu(order: Order) -> bool:
    """Whether a GPU may be used: it reserves far more address space than it uses, so that no limit can be set."""
    return any(BACKENDS[provider].is_gpu and is_available(provider) for provider in provider_order(order))


def require_available(provider: Provider) -> None:
    """Raise ProviderError when this ONNX Runtime has no such provider, or the processor none of its arithmetic."""
    if not is_available(provider):
        extra = BACKENDS[provider].extra
        raise ProviderError(
            f"inference.provider names '{provider}', but this ONNX Runtime has no {BACKENDS[provider].name}; install "
            f"the extra '{extra}' (in place of the other ones), or choose another provider",
            reason=ABSENT,
        )
    if provider == "openvino_bf16" and not _has_bf16():
        raise ProviderError(
            "inference.provider names 'openvino_bf16', but this processor does not compute in bf16, and OpenVINO would "
            "take float32 without a word; name 'openvino'",
            reason=REFUSED,
        )


def usable_providers(order: Order) -> tuple[tuple[Provider, ...], dict[Provider, str]]:
    """Return the providers of the order that this machine has, and why it has not each of the others."""
    lacking: dict[Provider, str] = {}
    for provider in provider_order(order):
        try:
            require_available(provider)
        except ProviderError as error:
            lacking[provider] = str(error)
    return tuple(provider for provider in provider_order(order) if provider not in lacking), lacking


def _has_bf16() -> bool:
    """Whether the processor computes in bf16, as far as the system tells."""
    try:
        return BF16_FLAGS.search(CPU_INFO.read_text(encoding="ascii", errors="replace")) is not None
    except OSError:
        return True


def providers_for(provider: Provider, *, threads: int, gpu_memory_bytes: int = 0) -> list[Any]:
    """Return what InferenceSession takes: the provider with its options, and the CPU for operators that it lacks."""
    name = BACKENDS[provider].name
    if name == CPU:
        return [CPU]
    return [(name, _OPTIONS[provider](threads, gpu_memory_bytes)), CPU]


def first_that_works(
    order: Sequence[Provider], start: Callable[[Provider], Started]
) -> tuple[Started, tuple[PassedOver, ...]]:
    """Return what the first provider that works starts, and the providers before it.

    Raises
    ------
    PackageError, ProviderError
        None of them works; the text says why, one after the other.
    """
    passed: list[PassedOver] = []
    errors: list[DokueiError] = []
    for provider in order:
        try:
            return start(provider), tuple(passed)
        except (PackageError, ProviderError) as error:
            reason = error.reason if isinstance(error, ProviderError) else PARITY
            passed.append(PassedOver(provider=provider, reason=reason, detail=str(error)))
            errors.append(error)
    raise _none_works(errors, passed)


def _none_works(errors: Sequence[DokueiError], passed: Sequence[PassedOver]) -> DokueiError:
    """Return the one error, or all in one: the package is at fault as soon as it failed where a provider did not."""
    if len(errors) == 1:
        return errors[0]
    text = "; ".join(f"{item.provider}: {item.detail}" for item in passed)
    if any(isinstance(error, PackageError) for error in errors):
        return PackageError(text)
    return ProviderError(text, reason=REFUSED)


def _cuda(_threads: int, gpu_memory_bytes: int) -> dict[str, str]:
    # Full float32 and the default algorithm: TF32 and benchmarked algorithms change digits from run to run. Memory
    # grows by what is asked for, not by doubling, so that several packages fit side by side.
    limit = {"gpu_mem_limit": str(gpu_memory_bytes)} if gpu_memory_bytes else {}
    growth = {"arena_extend_strategy": "kSameAsRequested"}
    return {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT", **growth, **limit}


def _tensorrt(_threads: int, gpu_memory_bytes: int) -> dict[str, str]:
    limit = {"trt_max_workspace_size": str(gpu_memory_bytes)} if gpu_memory_bytes else {}
    return {"trt_fp16_enable": "0", "trt_int8_enable": "0", **limit}


def _openvino(precision: str) -> Callable[[int, int], dict[str, str]]:
    # Without the hint OpenVINO takes bf16 where the processor has it, and says nothing.
    def options(threads: int, _gpu_memory_bytes: int) -> dict[str, str]:
        hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        return {"device_type": "CPU", "load_config": json.dumps({"CPU": hints})}

    return options


_OPTIONS: Final[Mapping[Provider, Callable[[int, int], dict[str, str]]]] = {
    "cuda": _cuda,
    "tensorrt": _tensorrt,
    "openvino": _openvino("f32"),
    "openvino_bf16": _openvino("bf16"),
}
