# SPDX-License-Identifier: Apache-2.0
"""The storage server of a first afternoon with pynetdicom: what an attack must bring down to count as one.

`python -m harness.stock_scp FOLDER PORT OPTIONS` runs it; `StockScp` does so for a test. Its memory is capped, so that
the machine stays safe.
"""

import json
import os
import resource
import signal
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

from harness.processes import Program, free_port
from harness.watched import Cost

TESTS = Path(__file__).resolve().parents[1]
GIB = 1 << 30


class StockScp:
    """A stock pynetdicom server.

    `certificate` and `key` make it speak TLS, `look` makes it read every element, `decode` the pixels; `shut_down` lets
    SIGTERM end it by pynetdicom's own means.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.port = free_port()
        self._options = options
        self._program: Program | None = None

    def start(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        module = [sys.executable, "-m", "harness.stock_scp", str(self.folder / "data"), str(self.port)]
        command = ["env", f"PYTHONPATH={TESTS}", *module, json.dumps(self._options)]
        self._program = Program(command, log=self.folder / "stock.log")
        self._program.wait_for_port(self.port)

    def kill(self) -> None:
        if self._program is not None:
            self._program.kill()
            self._program = None

    @property
    def runs(self) -> bool:
        return self._program is not None and self._program.runs

    @property
    def pid(self) -> int:
        if self._program is None:
            raise RuntimeError("the stock server does not run")
        return self._program.pid

    def terminate(self) -> None:
        """Ask it to end, as a service manager would."""
        os.kill(self.pid, signal.SIGTERM)

    @property
    def cost(self) -> Cost:
        return Cost(self.pid)

    @property
    def log(self) -> str:
        return (self.folder / "stock.log").read_text(errors="replace")

    def files(self) -> list[Path]:
        return sorted(path for path in (self.folder / "data").rglob("*") if path.is_file())


def main(folder: Path, port: int, options: dict[str, Any]) -> None:
    """Serve until killed."""
    from pynetdicom import AE, AllStoragePresentationContexts, evt
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

    cap = int(options.get("memory_bytes", 4 * GIB))
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))

    def store(event: Any) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        dataset.save_as(folder / f"{dataset.SOPInstanceUID}.dcm")
        print("stored", dataset.SOPInstanceUID, dataset.get("PatientName"), flush=True)  # noqa: T201 - as a first afternoon's server would
        if options.get("look"):
            print("elements", sum(1 for element in dataset.iterall() if element.value is not None), flush=True)  # noqa: T201
        if options.get("decode"):
            print("decoded", dataset.pixel_array.shape, flush=True)  # noqa: T201
        time.sleep(options.get("pause_seconds", 0))
        return 0x0000

    entity = AE("DOKUEI")
    entity.maximum_associations = int(options.get("associations", 10))
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, _syntaxes())
    entity.add_supported_context(Verification)
    handlers = [(evt.EVT_C_STORE, store), (evt.EVT_C_ECHO, lambda _event: 0x0000)]
    entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers, ssl_context=_tls(options))
    if options.get("shut_down"):  # the polite end of a stock server, on SIGTERM
        signal.signal(signal.SIGTERM, lambda *_: entity.shutdown())
    threading.Event().wait()


def _syntaxes() -> list[str]:
    from pynetdicom import ALL_TRANSFER_SYNTAXES

    return list(ALL_TRANSFER_SYNTAXES)


def _tls(options: dict[str, Any]) -> ssl.SSLContext | None:
    if "certificate" not in options:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options["certificate"], options["key"])
    return context


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
