# SPDX-License-Identifier: Apache-2.0
"""DCMTK's dcmqrscp: an archive that is queried and asked to send, with a memory of its own for each test."""

from pathlib import Path

from harness.processes import Program, free_port


class QueryArchive:
    """dcmqrscp in a folder; `sends_to` maps AE titles to loopback ports that it may be asked to send to."""

    def __init__(self, folder: Path, *, sends_to: dict[str, int], ae_title: str = "QRSCP") -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.port = free_port()
        self._sends_to = sends_to
        self._program: Program | None = None

    def start(self) -> None:
        (self.folder / "db").mkdir(parents=True, exist_ok=True)
        hosts = "".join(f"{title.lower()} = ({title}, 127.0.0.1, {port})\n" for title, port in self._sends_to.items())
        path = self.folder / "dcmqrscp.cfg"
        path.write_text(
            f"NetworkTCPPort = {self.port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
            f"HostTable BEGIN\n{hosts}HostTable END\nVendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\n{self.ae_title} {self.folder / 'db'} RW (200, 1024mb) ANY\nAETable END\n"
        )
        self._program = Program(["dcmqrscp", "-v", "-c", str(path)], log=self.folder / "dcmqrscp.log")
        self._program.wait_for_port(self.port)

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
            self._program = None
