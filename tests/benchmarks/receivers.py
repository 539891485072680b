# SPDX-License-Identifier: Apache-2.0
"""What images are sent to: the node in two forms, and named peers."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from harness.dcmtk import Called, StoreScpProgram
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.processes import ENVIRONMENT, Program, free_port, wait_until
from service.settings import StorageSettings

DOKUEI, BARE = "Dokuei", "Dokuei's receiver alone"
DCMTK, ORTHANC, PYNETDICOM = "DCMTK storescp --fork", "Orthanc", "pynetdicom storescp"
UNSAFE = "unsafe_for_benchmarks"


class Callee(Protocol):
    """Whoever associations are opened to."""

    called: Called


class Receiver(Callee, Protocol):
    """A program that takes C-STOREs."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    @property
    def pid(self) -> int: ...

    def empty(self) -> None:
        """Delete what it has received: a benchmark must not fill the disk."""


class NodeReceiver(NodeProgram):
    """The whole node, without rules, so that it receives and analyses nothing."""

    def __init__(self, folder: Path, *, durable: bool = True, changes: dict[str, Any] | None = None) -> None:
        super().__init__(folder, pacs=("NOBODY", free_port()))
        sections = self._sections("NOBODY", free_port())
        sections["node"]["max_associations"] = 128
        sections["storage"]["reserve_bytes"] = 1_000_000
        sections["log"] = {"level": "warning"}
        if not durable:
            sections["storage"]["durability"] = UNSAFE
            self.environment = {**ENVIRONMENT, "DOKUEI_UNSAFE": "loses-data"}
        self.write_config({**sections, "rules": [], "close": {"quiet_seconds": 600}, **(changes or {})})

    def start(self, *, wait: bool = True) -> None:
        """Wait for its children as well: they check their packages at start, which is no part of receiving."""
        super().start(wait=wait)
        wait_until(lambda: self.http("/readyz")[0] == 200, seconds=120, what="the node is not ready")

    def empty(self) -> None:
        _unlink(self.folder.glob("data/instances/*/*.dcm"))


class BareReceiver:
    """`tests.benchmarks.bare_receiver`; its own text says what it does."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.called = Called(port=self.port)
        self._program: Program | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.benchmarks.bare_receiver", str(self.folder / "data"), str(self.port)]
        self._program = Program(command, log=self.folder / "bare.log")
        self._program.wait_for_port(self.port, seconds=120)

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
            self._program = None

    @property
    def pid(self) -> int:
        return _running(self._program).pid

    def empty(self) -> None:
        _unlink(self.folder.glob("data/instances/*/*.dcm"))


class StoreScpReceiver(StoreScpProgram):
    """DCMTK's storescp as fast as it goes: a process per association, raw bytes to disk, large PDUs."""

    def __init__(self, folder: Path, *, environment: dict[str, str] | None = None) -> None:
        super().__init__(folder, "--fork", "-dhl", "+B", "-pdu", "131072", environment=environment)
        self.called = Called(port=self.port, ae_title=self.ae_title)

    def empty(self) -> None:
        _unlink(self.folder.iterdir())


class OrthancReceiver(Orthanc):
    """Orthanc as it comes: it flushes what it stores, except where told not to."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder, options={"SyncStorageArea": durable})
        self.called = Called(port=self.dicom_port, ae_title=self.ae_title)

    def empty(self) -> None:
        _unlink(path for path in self.folder.glob("storage/*/*/*") if path.is_file())


class PynetdicomReceiver(BareReceiver):
    """`python -m pynetdicom storescp`, as it comes."""

    def start(self) -> None:
        files = self.folder / "files"
        files.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pynetdicom", "storescp", str(self.port), "-od", str(files), "-q"]
        self._program = Program(command, log=self.folder / "pynetdicom.log")
        self._program.wait_for_port(self.port, seconds=120)

    def empty(self) -> None:
        _unlink((self.folder / "files").iterdir())


def not_flushed(folder: Path) -> dict[str, Callable[[], Receiver]]:
    """The receivers that flush nothing, ours first."""
    ours: dict[str, Callable[[], Receiver]] = {BARE: lambda: BareReceiver(folder / "bare")}
    if can_be_unsafe():
        ours = {DOKUEI: lambda: NodeReceiver(folder / "node", durable=False), **ours}
    return {
        **ours,
        DCMTK: lambda: StoreScpReceiver(folder / "storescp"),
        ORTHANC: lambda: OrthancReceiver(folder / "orthanc", durable=False),
        PYNETDICOM: lambda: PynetdicomReceiver(folder / "pynetdicom"),
    }


def can_be_unsafe() -> bool:
    """Whether the node has a setting that leaves out flushing."""
    return "durability" in StorageSettings.model_fields


@contextmanager
def running(makers: dict[str, Callable[[], Receiver]], names: Sequence[str] = ()) -> Iterator[dict[str, Receiver]]:
    """Start receivers (all, or those named) and stop them at the end."""
    with ExitStack() as stack:
        found = {name: make() for name, make in makers.items() if not names or name in names}
        for receiver in found.values():
            receiver.start()
            stack.callback(receiver.stop)
        yield found


def _running(program: Program | None) -> Program:
    if program is None:
        raise RuntimeError("the receiver does not run")
    return program


def _unlink(paths: Iterable[Path]) -> None:
    for path in list(paths):
        path.unlink(missing_ok=True)
