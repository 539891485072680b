# SPDX-License-Identifier: Apache-2.0
"""Every check of a package, in a process of its own: what kills that process, or never ends, is a refusal too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from service.bootstrap.golden_studies import StudyCheck, verify_studies
from service.domain.errors import PackageError, WorkerCrashedError, WorkerError, WorkerTimeoutError
from service.inference.listing import PackageCheck, check_package
from service.inference.package import load_package
from service.inference.package_files import read_package
from service.inference.providers import BACKENDS
from service.inference.signature import UNSIGNED_ALLOWED, SignaturePolicy
from service.inference.worker_process import WorkerOrder, WorkerProcess
from service.settings import Provider

CHILD: Final = "service.bootstrap.package_check:start"
CHECK_SECONDS: Final = 600.0
MEMORY_BYTES: Final = 12_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOrder:
    """Which package is checked and how: on one provider, with `threads` as in config.yaml."""

    place: Path
    policy: SignaturePolicy = UNSIGNED_ALLOWED
    provider: Provider = "cpu"
    threads: int = 1
    seconds: float = CHECK_SECONDS
    memory_bytes: int | None = MEMORY_BYTES
    """Address space of the process; None for no limit, which CUDA needs."""
    quick: bool = False
    """The checks of loading alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeCheck:
    """A package that passed everything: the checks of loading, and its golden studies by name."""

    load: PackageCheck
    studies: Mapping[str, StudyCheck] = field(default_factory=dict)
    refuses_noise: bool = False


_ORDER: Final = TypeAdapter(CheckOrder)
_WHOLE: Final = TypeAdapter(WholeCheck)


def check_whole(order: CheckOrder) -> WholeCheck:
    """Make every check in this process; see `check_in_child`."""
    load = check_package(order.place, provider=order.provider, threads=order.threads, policy=order.policy)
    files = read_package(order.place, policy=order.policy)
    if order.quick or not files.manifest.golden_studies:
        return WholeCheck(load=load)
    package = load_package(order.place, provider=order.provider, threads=order.threads, policy=order.policy)
    studies = verify_studies(files, package, precision=BACKENDS[package.warm.provider].precision)
    return WholeCheck(load=load, studies=studies, refuses_noise=files.manifest.refuses_noise)


def check_in_child(order: CheckOrder) -> WholeCheck:
    """Make every check in a process of its own with limits on time and memory.

    Raises
    ------
    PackageError
        Why the package is refused, also when the process did not live to say so.
    ConfigurationError
        The provider does not exist on this machine, or a key file cannot be used.
    """
    child = WorkerProcess(
        WorkerOrder(entry=CHILD, initial=_ORDER.dump_python(order, mode="json"), memory_bytes=order.memory_bytes)
    )
    try:
        child.warm(seconds=order.seconds)
        return _WHOLE.validate_python(child.ask({}, seconds=order.seconds))
    except WorkerTimeoutError:
        raise PackageError(
            f"{order.place}: the checks took more than {order.seconds:g} s; simplify the graphs, or raise --seconds"
        ) from None
    except WorkerCrashedError as error:
        raise PackageError(f"{order.place}: {_ending(error, order)}") from None
    except WorkerError as error:
        raise PackageError(f"{order.place}: a check failed ({error})") from None
    finally:
        child.stop()


def _ending(error: WorkerCrashedError, order: CheckOrder) -> str:
    if error.ended_by == "memory":
        return f"the checks took more than {order.memory_bytes} bytes of memory; use smaller graphs, or raise --memory"
    return f"the checks ended their process ({error.ended_by}); a package that does this to the node is refused"


def start(initial: Mapping[str, Any]) -> Any:
    """Return the function that makes the checks when it is asked to; runs in the child."""
    order = _ORDER.validate_python(initial)

    def answer(_task: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = _WHOLE.dump_python(check_whole(order), mode="json")
        return result

    return answer
