# SPDX-License-Identifier: Apache-2.0
"""Execution providers: tried in the site's order, held to the golden outputs, and seen when they are passed over.

There is no GPU here. `Azure` is a provider that every ONNX Runtime has and that starts, so that it stands in for one;
what fails about a device is made to fail in a session around a real one.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tiny_package import IMAGE, replace_model, scale_model, write_tiny

from service.domain.errors import ConfigurationError, PackageError, ProviderError, WorkerUnavailableError
from service.domain.event import Event, InferenceFinished, ProviderPassedOver
from service.inference import package as package_module
from service.inference import providers
from service.inference.listing import check_package
from service.inference.package import load_package
from service.inference.package_files import read_package
from service.inference.providers import BACKENDS, Backend, provider_order, providers_for, uses_gpu
from service.inference.session import Session
from service.inference.signature import SignaturePolicy, add_signature

AZURE = "AzureExecutionProvider"

needs_no_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this machine has the CUDA provider"
)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let "cuda" be a provider that is here."""
    if AZURE not in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has no {AZURE} to stand in for a device")
    monkeypatch.setitem(BACKENDS, "cuda", Backend(name=AZURE, extra="gpu"))  # type: ignore[index]


def sessions_that(monkeypatch: pytest.MonkeyPatch, run: Any, *, device: str = "cuda") -> None:
    """Let the sessions of one device run like this: `run(session, inputs, number)`, numbered from 1."""

    class Faulty(Session):
        runs = 0

        def run(self, inputs: Any, *, limit_seconds: float | None = None) -> dict[str, Any]:
            if self.device != device:
                return super().run(inputs, limit_seconds=limit_seconds)
            Faulty.runs += 1
            return run(super().run, inputs, Faulty.runs)  # type: ignore[no-any-return]

    monkeypatch.setattr(package_module, "Session", Faulty)


def off_by_one(run: Any, inputs: Any, _number: int) -> dict[str, Any]:
    return {name: array + np.float32(1) for name, array in run(inputs).items()}


def lost_after(good: int) -> Any:
    def run(run: Any, inputs: Any, number: int) -> dict[str, Any]:
        if number > good:
            raise ProviderError("CUDA failure 719: unspecified launch failure", reason="lost")
        return run(inputs)  # type: ignore[no-any-return]

    return run


# --- the order ------------------------------------------------------------------------------------------------------


@needs_no_cuda
def test_auto_is_what_this_machine_has() -> None:
    assert provider_order("auto") == provider_order(("auto",)) == ("cpu",)


def test_an_order_is_kept_as_it_is_written() -> None:
    assert provider_order(("tensorrt", "cuda", "cpu")) == ("tensorrt", "cuda", "cpu")


@needs_no_cuda
def test_a_gpu_that_is_not_here_takes_no_limit_away() -> None:
    assert not uses_gpu(("cuda", "cpu"))


@needs_no_cuda
def test_a_provider_that_is_absent_is_passed_over_in_sight(tiny_folder: Path) -> None:
    package = load_package(tiny_folder, provider=("tensorrt", "cuda", "cpu"))
    assert package.warm.provider == "cpu"
    assert [(item.provider, item.reason) for item in package.warm.passed_over] == [
        ("tensorrt", "absent"),
        ("cuda", "absent"),
    ]
    assert "install the extra 'gpu'" in package.warm.passed_over[0].detail


@needs_no_cuda
def test_nothing_is_used_that_the_order_does_not_name(tiny_folder: Path) -> None:
    with pytest.raises(ProviderError, match=r"tensorrt: .*; cuda: .*no CUDAExecutionProvider") as caught:
        load_package(tiny_folder, provider=("tensorrt", "cuda"))
    assert isinstance(caught.value, ConfigurationError)


@needs_no_cuda
def test_a_check_says_which_provider_is_not_used_and_why(tiny_folder: Path) -> None:
    check = check_package(tiny_folder, provider=("cuda", "cpu"))
    assert check.devices == {"zones": "cpu"}
    assert "CUDAExecutionProvider" in check.passed_over["cuda"]


def test_bf16_is_refused_on_a_processor_without_it(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(BACKENDS, "openvino_bf16", Backend(name="CPUExecutionProvider", extra="openvino"))  # type: ignore[index]
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr(providers, "CPU_INFO", flags)
    flags.write_text("flags : fpu avx2 avx512_vnni\n")
    (item,) = load_package(tiny_folder, provider=("openvino_bf16", "cpu")).warm.passed_over
    assert (item.reason, "does not compute in bf16" in item.detail) == ("refused", True)
    flags.write_text("flags : fpu avx2 avx512_bf16\n")
    providers.require_available("openvino_bf16")


# --- starting -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stand_in")
def test_the_first_provider_that_reproduces_the_golden_outputs_is_used(tiny_folder: Path) -> None:
    package = load_package(tiny_folder, provider=("cuda", "cpu"))
    assert (package.warm.provider, package.warm.passed_over) == ("cuda", ())


@pytest.mark.usefixtures("stand_in")
def test_a_provider_that_computes_something_else_is_passed_over(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions_that(monkeypatch, off_by_one)
    package = load_package(tiny_folder, provider=("cuda", "cpu"))
    (item,) = package.warm.passed_over
    assert (package.warm.provider, item.provider, item.reason) == ("cpu", "cuda", "parity")
    assert "differ from the golden ones by 1" in item.detail


@pytest.mark.usefixtures("stand_in")
def test_a_bad_package_is_rejected_on_every_provider(tiny_folder: Path) -> None:
    replace_model(tiny_folder, scale_model(3))
    with pytest.raises(PackageError, match=r"cuda: .*golden.*; cpu: .*golden"):
        load_package(tiny_folder, provider=("cuda", "cpu"))


@pytest.mark.usefixtures("stand_in")
def test_a_provider_that_onnx_runtime_leaves_out_in_silence_is_noticed(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts on the CPU when CUDA's libraries are missing, and only get_providers() says so."""
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _self: ["CPUExecutionProvider"])
    package = load_package(tiny_folder, provider=("cuda", "cpu"))
    assert [item.reason for item in package.warm.passed_over] == ["refused"]
    assert package.warm.provider == "cpu"


def test_onnx_runtime_does_not_fall_back_by_itself(tiny_folder: Path) -> None:
    sessions = load_package(tiny_folder).warm.sessions
    assert [session._session._enable_fallback for session in sessions.values()] == [False]


def test_options_keep_digits_and_memory_as_they_are_asked_for() -> None:
    (name, options), last = providers_for("cuda", threads=2, gpu_memory_bytes=1 << 30)
    assert (name, last) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert (options["use_tf32"], options["gpu_mem_limit"]) == ("0", str(1 << 30))
    assert "gpu_mem_limit" not in providers_for("cuda", threads=2)[0][1]
    assert '"INFERENCE_PRECISION_HINT": "f32"' in providers_for("openvino", threads=2)[0][1]["load_config"]
    assert '"INFERENCE_PRECISION_HINT": "bf16"' in providers_for("openvino_bf16", threads=2)[0][1]["load_config"]


def test_every_provider_of_the_settings_has_its_row() -> None:
    from typing import get_args

    from service.settings import Provider

    assert set(BACKENDS) == set(get_args(Provider)) - {"auto"}
    assert set(providers._OPTIONS) == set(BACKENDS) - {"cpu"}


# --- at work --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stand_in")
def test_a_device_that_is_lost_at_work_gives_way_to_the_next_provider(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions_that(monkeypatch, lost_after(2))
    seen: list[Event] = []
    package = load_package(tiny_folder, provider=("cuda", "cpu"), observer=seen.append)
    for _ in range(3):
        np.testing.assert_array_equal(package.run("zones", {"image": IMAGE})["scaled"], IMAGE * 2)
    devices = [event.device for event in seen if isinstance(event, InferenceFinished)]
    assert devices == ["cuda", "cpu", "cpu"]
    (moved,) = [event for event in seen if isinstance(event, ProviderPassedOver)]
    assert (moved.package, moved.provider, moved.reason, moved.used) == ("tiny", "cuda", "lost", "cpu")
    assert "719" in moved.detail


@pytest.mark.usefixtures("stand_in")
def test_a_device_that_is_lost_without_another_says_nothing_about_the_study(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions_that(monkeypatch, lost_after(1))
    package = load_package(tiny_folder, provider="cuda")
    with pytest.raises(WorkerUnavailableError, match="names no other provider"):
        package.run("zones", {"image": IMAGE})


@pytest.mark.usefixtures("stand_in")
def test_a_package_that_was_replaced_on_disk_is_not_mixed_with_the_one_that_runs(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions_that(monkeypatch, lost_after(1))
    package = load_package(tiny_folder, provider=("cuda", "cpu"))
    write_tiny(tiny_folder.parents[1], title="Another")
    with pytest.raises(WorkerUnavailableError, match="replaced on disk"):
        package.run("zones", {"image": IMAGE})


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("is_withdrawn", [False, True])
def test_the_next_provider_gets_a_package_that_is_still_signed(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_withdrawn: bool
) -> None:
    """A signature is no part of the digest: the package is the same without it, and the site's policy is not kept."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = tmp_path / "site.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    signatures = tiny_folder / "SIGNATURES.json"
    identity = read_package(tiny_folder).identity
    signatures.write_bytes(add_signature(b"", identity, key=key, now=datetime.now(UTC), expires_at=None))
    sessions_that(monkeypatch, lost_after(1))
    policy = SignaturePolicy(required=True, keys=(public,))
    package = load_package(tiny_folder, provider=("cuda", "cpu"), policy=policy)
    if is_withdrawn:
        signatures.unlink()
        with pytest.raises(PackageError, match="this site requires a signature"):
            package.run("zones", {"image": IMAGE})
        return
    np.testing.assert_array_equal(package.run("zones", {"image": IMAGE})["scaled"], IMAGE * 2)
    assert package.warm.provider == "cpu"


# --- the golden outputs again ---------------------------------------------------------------------------------------


def test_golden_outputs_are_reproduced_again_at_any_time(tiny_folder: Path) -> None:
    assert load_package(tiny_folder).self_test() == {"zones": 0.0}


def test_a_package_that_drifts_after_it_was_loaded_fails_its_test(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drifting(run: Any, inputs: Any, number: int) -> dict[str, Any]:
        return run(inputs) if number == 1 else off_by_one(run, inputs, number)  # type: ignore[no-any-return]

    sessions_that(monkeypatch, drifting, device="cpu")
    package = load_package(tiny_folder)
    with pytest.raises(PackageError, match="differ from the golden ones by 1"):
        package.self_test()


@pytest.mark.usefixtures("stand_in")
def test_a_device_that_is_lost_in_the_test_gives_way_too(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions_that(monkeypatch, lost_after(1))
    package = load_package(tiny_folder, provider=("cuda", "cpu"))
    assert package.self_test() == {"zones": 0.0}
    assert package.warm.provider == "cpu"
