# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime sessions, deterministic and held to their manifest's contract."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from service.domain.errors import PackageError, ProviderError
from service.inference.manifest import Graph, Tensor
from service.inference.providers import BACKENDS, LOST, NO_FALLBACK, REFUSED, providers_for, require_available
from service.settings import Provider

Arrays = Mapping[str, NDArray[Any]]

_DTYPES: Final = {"float": "float32", "double": "float64"}
RUNTIME_ERRORS: Final[tuple[type[Exception], ...]] = (
    native.EPFail,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoSuchFile,
    native.NotImplemented,
    native.RuntimeException,
)
_REMEDY: Final = "correct the manifest or export the graph again"


class Session:
    """One warm graph on one execution provider, whose name `device` is; `threads` 0 leaves them to ONNX Runtime."""

    def __init__(
        self, model: bytes, contract: Graph, *, where: str, provider: Provider, threads: int, gpu_memory_bytes: int = 0
    ) -> None:
        self._contract, self._where = contract, where
        self.device: Provider = provider
        require_available(provider)
        providers = providers_for(provider, threads=threads, gpu_memory_bytes=gpu_memory_bytes)
        self._session = _start(model, where=where, provider=provider, providers=providers, threads=threads)
        _check_contract(self._session.get_inputs(), contract.inputs, where=f"{where}: inputs")
        _check_contract(self._session.get_outputs(), contract.outputs, where=f"{where}: outputs")

    def run(self, inputs: Arrays, *, limit_seconds: float | None = None) -> dict[str, NDArray[Any]]:
        """Run the graph, between whose operators a limit of time can end it.

        Raises
        ------
        PackageError
            An input differs from the contract in name, dtype or shape, an output is not finite, or the limit passed.
        ProviderError
            The provider, which is not the CPU, failed.
        """
        _check_arrays(inputs, self._contract.inputs, where=self._where)
        names = list(self._contract.outputs)
        try:
            with _ended_after(limit_seconds) as options:
                values = self._session.run(names, dict(inputs), options)
        except RUNTIME_ERRORS as error:
            if limit_seconds is not None and options.terminate:
                raise PackageError(
                    f"{self._where}: ran for more than {limit_seconds:g} s; simplify the graph"
                ) from None
            raise self._failure(error) from None
        outputs = dict(zip(names, values, strict=True))
        _check_arrays(outputs, self._contract.outputs, where=f"{self._where}: output")
        _check_finite(outputs, where=self._where)
        return outputs

    def _failure(self, error: Exception) -> PackageError | ProviderError:
        """Blame the graph on the CPU, and elsewhere the device, until the graph has failed on the CPU as well."""
        text = f"{self._where}: ONNX Runtime failed ({type(error).__name__}: {error})"
        return PackageError(text) if self.device == "cpu" else ProviderError(text, reason=LOST)


@contextmanager
def _ended_after(limit_seconds: float | None) -> Iterator[Any]:
    """Yield options of a run that ONNX Runtime ends, at the next operator, once the time is up."""
    options = onnxruntime.RunOptions()
    if limit_seconds is None:
        yield options
        return
    timer = threading.Timer(limit_seconds, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


def _start(model: bytes, *, where: str, provider: Provider, providers: list[Any], threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.load_model_format", "ONNX")  # what was checked, not what it looks like
    options.add_session_config_entry("session.strict_shape_type_inference", "1")
    options.log_severity_level = 3  # errors: warnings would go to stderr, past the log
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers, **NO_FALLBACK)
    except RUNTIME_ERRORS as error:
        if provider == "cpu":
            raise PackageError(f"{where}: ONNX Runtime refuses it ({error}); export the graph again") from None
        raise _refused(provider, where, f"{type(error).__name__}: {error}") from None
    if BACKENDS[provider].name not in session.get_providers():
        raise _refused(provider, where, "ONNX Runtime left it out; are its libraries and its driver installed?")
    return session


def _refused(provider: Provider, where: str, why: str) -> ProviderError:
    return ProviderError(f"{where}: provider '{provider}' does not start ({why})", reason=REFUSED)


def _check_contract(tensors: Any, contract: Mapping[str, Tensor], *, where: str) -> None:
    found = {tensor.name: tensor for tensor in tensors}
    if set(found) != set(contract):
        raise PackageError(
            f"{where} are {', '.join(sorted(found))}, the manifest says {', '.join(sorted(contract))}; {_REMEDY}"
        )
    for name, tensor in found.items():
        stated = (contract[name].dtype, _sizes(contract[name].shape))
        actual = (_dtype(tensor.type), _sizes(tensor.shape))
        if stated != actual:
            raise PackageError(f"{where}: {name} is {actual}, the manifest says {stated}; {_REMEDY}")


def _dtype(kind: str) -> str:
    name = kind.removeprefix("tensor(").removesuffix(")")
    return _DTYPES.get(name, name)


def _sizes(shape: Any) -> tuple[int | str, ...]:
    """Fixed sizes as they are; symbols, None and -1 all mean any size."""
    return tuple(size if isinstance(size, int) and size > 0 else "any" for size in shape)


def _check_arrays(arrays: Arrays, contract: Mapping[str, Tensor], *, where: str) -> None:
    if set(arrays) != set(contract):
        raise PackageError(
            f"{where} has tensors {', '.join(sorted(arrays))}, its contract {', '.join(sorted(contract))}"
        )
    symbols: dict[str, int] = {}
    for name, tensor in contract.items():
        array = arrays[name]
        if array.dtype != np.dtype(tensor.dtype):
            raise PackageError(f"{where} {name} has dtype {array.dtype}, its contract {tensor.dtype}")
        if not _fits(array.shape, tensor.shape, symbols):
            raise PackageError(f"{where} {name} has shape {array.shape}, its contract {tensor.shape}")


def _fits(shape: tuple[int, ...], contract: tuple[int | str | None, ...], symbols: dict[str, int]) -> bool:
    """Compare a shape with its contract; a symbol takes the first size it meets and keeps it."""
    if len(shape) != len(contract):
        return False
    for size, wanted in zip(shape, contract, strict=True):
        expected = symbols.setdefault(wanted, size) if isinstance(wanted, str) else wanted
        if expected is not None and size != expected:
            return False
    return True


def _check_finite(outputs: Arrays, *, where: str) -> None:
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise PackageError(f"{where}: output {name} holds NaN or infinity; a score cannot be read from it")
