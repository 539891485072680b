# SPDX-License-Identifier: Apache-2.0
"""Our storage SCP and our file store alone, with nothing flushed: the work that DCMTK's storescp does, and no more.

It negotiates, receives, computes the SHA-256, writes `incoming/<random>.part` with its file meta information and
renames it to its shelf. There is no ledger, no look into the header and no workflow; `os.fsync` does nothing in this
process. `python -m tests.benchmarks.bare_receiver FOLDER PORT`
"""

import os
import signal
import sys
import threading
from pathlib import Path

from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES
from service.ports import IncomingInstance, StoreOutcome
from service.settings import NodeSettings, PeerSettings
from service.storage.folder import open_folder
from service.storage.instance_store import FileStore
from service.transport.store_scp import StoreScp


def main() -> None:
    """Receive until SIGTERM."""
    os.fsync = lambda _descriptor: None  # type: ignore[assignment]
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    store = FileStore(open_folder(folder), reserve_bytes=0)

    def receive(incoming: IncomingInstance) -> StoreOutcome:
        arrived = store.write(
            sop_class_uid=incoming.sop_class_uid,
            sop_instance_uid=incoming.sop_instance_uid,
            transfer_syntax_uid=incoming.transfer_syntax_uid,
            dataset=incoming.dataset,
        )
        store.keep(arrived)
        return StoreOutcome.STORED

    scp = StoreScp(
        NodeSettings(host="127.0.0.1", port=port, max_associations=128),
        peers=[PeerSettings.model_validate({"name": "any", "ae_title": "MODALITY", "address": "127.0.0.1"})],
        receiver=receive,
        observer=lambda _event: None,
        transfer_syntaxes=SUPPORTED_TRANSFER_SYNTAXES,
    )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    scp.start()
    ended.wait()
    scp.drain(5)


if __name__ == "__main__":
    main()
