# SPDX-License-Identifier: Apache-2.0
"""The storage SCP and the file store in a process of their own: starts in a second, and /proc shows what it costs.

`python -m harness.receiver_program FOLDER PORT OPTIONS` runs it; `ReceiverProgram` does so for a test.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.dcmtk import Called
from harness.markers import check
from harness.processes import Program, free_port
from harness.watched import Cost

TESTS = Path(__file__).resolve().parents[1]


class ReceiverProgram:
    """A receiver on a free loopback port.

    `node` are keys of config.yaml's section `node`, `limits` fields of the transport's `Limits`; `pause_seconds` is
    what the receiver thinks before it answers, `networks` are where the known peer may be, `prefix` is a command that
    starts it (in a namespace, under strace).
    """

    def __init__(
        self,
        folder: Path,
        *,
        node: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        pause_seconds: float = 0.0,
        networks: Sequence[str] = ("127.0.0.0/28",),
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.called = Called(port=self.port)
        self._options = {"node": node or {}, "limits": limits, "pause_seconds": pause_seconds, "networks": networks}
        self._prefix = prefix
        self._program: Program | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        module = [sys.executable, "-m", "harness.receiver_program", str(self.folder / "data"), str(self.port)]
        command = ["env", f"PYTHONPATH={TESTS}:{TESTS.parent}", *module, json.dumps(self._options)]
        self._program = Program([*self._prefix, *command], log=self.folder / "receiver.log")
        self._program.wait_for_port(self.port)

    def terminate(self) -> None:
        """Ask it to end, as a service manager would."""
        os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop(seconds=20)
            self._program = None
            check(self.log, "the log of a receiver")

    @property
    def pid(self) -> int:
        if self._program is None:
            raise RuntimeError("the receiver does not run")
        return self._program.pid

    @property
    def runs(self) -> bool:
        return self._program is not None and self._program.runs

    @property
    def cost(self) -> Cost:
        return Cost(self.pid)

    @property
    def log(self) -> str:
        return (self.folder / "receiver.log").read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def partial(self) -> list[Path]:
        """Files of transfers that are under way, or were left behind."""
        return list((self.folder / "data" / "incoming").iterdir())

    def stored(self) -> list[Path]:
        return sorted((self.folder / "data" / "instances").glob("*/*.dcm"))


def main(folder: Path, port: int, options: dict[str, Any]) -> None:
    """Serve until SIGTERM, then drain."""
    from service.domain.event import NodeStopping
    from service.observability.logs import configure_logging
    from service.ports import IncomingInstance, StoreOutcome
    from service.settings import LogSettings, NodeSettings, PeerSettings
    from service.storage import FileStore, open_folder
    from service.transport import store_scp
    from service.transport.tls import TlsServer

    log = configure_logging(LogSettings(level="debug"))
    store = FileStore(open_folder(folder), reserve_bytes=1_000_000)

    def receive(incoming: IncomingInstance) -> StoreOutcome:
        arrived = store.write(
            sop_class_uid=incoming.sop_class_uid,
            sop_instance_uid=incoming.sop_instance_uid,
            transfer_syntax_uid=incoming.transfer_syntax_uid,
            dataset=incoming.dataset,
        )
        time.sleep(options["pause_seconds"])
        store.keep(arrived)
        return StoreOutcome.STORED

    limits = options["limits"]
    settings = NodeSettings.model_validate({"host": "127.0.0.1", "port": port, **options["node"]})
    scp = store_scp.StoreScp(
        settings,
        peers=[
            PeerSettings.model_validate({"name": f"ct-{number}", "ae_title": "MODALITY", "address": network})
            for number, network in enumerate(options["networks"])
        ],
        receiver=receive,
        observer=log,
        transfer_syntaxes=_transfer_syntaxes(),
        limits=store_scp.Limits(**limits) if limits else None,
        tls=TlsServer(settings.tls, observer=log) if settings.tls is not None else None,
    )
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    scp.start()
    signal.sigwait([signal.SIGTERM])
    log(NodeStopping(reason="SIGTERM"))
    scp.drain(30)
    os._exit(0)


def _transfer_syntaxes() -> tuple[str, ...]:
    from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES

    return SUPPORTED_TRANSFER_SYNTAXES


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
