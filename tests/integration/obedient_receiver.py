# SPDX-License-Identifier: Apache-2.0
"""A receiver on a real store and ledger that takes one instance per line of its input and prints what became of it."""

import ctypes
import os
import sys
from functools import partial
from pathlib import Path

from fakes import FakeAnalyst, SystemClock, ct_dataset, incoming
from node import SETTINGS
from service.domain.study import study_key
from service.storage import FileStore, SqlLedger, create_database, migrate, open_folder
from service.workflow import FlowParts, StoreInstance

PR_SET_PTRACER = 0x59616D61
ANYBODY = ctypes.c_ulong(-1)


def main(root: Path, url: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)  # strace is no parent of ours
    folder, database = open_folder(root), create_database(root, url=url or None)
    migrate(database)
    parts = FlowParts(
        settings=SETTINGS,
        clock=SystemClock(),
        observer=lambda _event: None,
        ledger=SqlLedger(database, root=folder.root, enqueue=lambda _connection, _task: None),
        store=FileStore(folder, reserve_bytes=0),
        analyst=FakeAnalyst(),
        pipelines={},
        packages={},
        destinations={},
        notifiers={},
        study_key=partial(study_key, site_key=b"k"),
    )
    receive = StoreInstance(parts)
    receive(incoming(ct_dataset(1, 0)))  # what is only done once is done
    os.write(1, b"ready\n")
    for line in sys.stdin:
        number, pixel = map(int, line.split())
        os.write(1, f"answer {receive(incoming(ct_dataset(1, number, pixel=pixel)))}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
