# SPDX-License-Identifier: Apache-2.0
"""DCMTK's command line programs as modality (storescu, dcmsend, echoscu) and as archive (storescp)."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.processes import ENVIRONMENT, Program, free_port


@dataclass(frozen=True)
class Called:
    """A node to call: port on loopback, its AE title, and ours."""

    port: int
    ae_title: str = "DOKUEI"
    calling: str = "MODALITY"

    @property
    def arguments(self) -> list[str]:
        return ["-aet", self.calling, "-aec", self.ae_title, "127.0.0.1", str(self.port)]


def run(command: Sequence[str], *, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=seconds, env=ENVIRONMENT, check=False
    )


def echoscu(called: Called, *options: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    return run(["echoscu", "-v", *options, *called.arguments], seconds=seconds)


def storescu(called: Called, paths: Sequence[Path], *options: str) -> subprocess.CompletedProcess[str]:
    """Send files; `options` choose the proposed transfer syntax, for example -xs for JPEG lossless."""
    return run(["storescu", "-v", "+sd", *options, *called.arguments, *map(str, paths)])


def dcmsend(called: Called, paths: Sequence[Path], *options: str) -> subprocess.CompletedProcess[str]:
    """Send files; dcmsend proposes each file's own transfer syntax."""
    return run(["dcmsend", "-v", "+sd", *options, *called.arguments, *map(str, paths)])


def only(folder: Path, *sop_class_uids: str) -> tuple[str, ...]:
    """Return the options of a storescp that takes these SOP classes only."""
    contexts = "\n".join(
        f"PresentationContext{number} = {uid}\\Uncompressed" for number, uid in enumerate(sop_class_uids, start=1)
    )
    path = folder / "storescp.cfg"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "[[TransferSyntaxes]]\n[Uncompressed]\n"
        "TransferSyntax1 = LittleEndianExplicit\nTransferSyntax2 = LittleEndianImplicit\n"
        f"[[PresentationContexts]]\n[Storage]\nPresentationContext{len(sop_class_uids) + 1} = "
        f"VerificationSOPClass\\Uncompressed\n{contexts}\n"
        "[[Profiles]]\n[Archive]\nPresentationContexts = Storage\n"
    )
    return ("-xf", str(path), "Archive")


class StoreScpProgram:
    """DCMTK's storescp writing into a folder."""

    def __init__(
        self, folder: Path, *options: str, ae_title: str = "STORESCP", environment: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.port = free_port()
        self._options = options
        self._environment = environment
        self._program: Program | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["storescp", "-aet", self.ae_title, "-od", str(self.folder), *self._options, str(self.port)]
        self._program = Program(command, log=self.folder.with_suffix(".log"), environment=self._environment)
        self._program.wait_for_port(self.port)

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
            self._program = None

    @property
    def pid(self) -> int:
        if self._program is None:
            raise RuntimeError("storescp does not run")
        return self._program.pid

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_file())
