# SPDX-License-Identifier: Apache-2.0
"""How commands speak to the running node: by signals that it says it listens to."""

import os
import signal
from pathlib import Path

from service.settings import StorageSettings
from service.storage.folder import is_shared, lock_owner


def tell(process: int, number: signal.Signals) -> bool:
    """Send a signal to the node; False, and nothing sent, when it does not listen to it: it would end the process."""
    if not _listens_to(process, number):
        return False
    os.kill(process, number)
    return True


def wake(storage: StorageSettings) -> None:
    """Have the node that uses the data folder, if there is one, look at once for what a command left in the ledger.

    One that does not listen (an older version, another user's) looks within a minute anyway.
    """
    process = lock_owner(storage.folder)
    if process is not None:
        try:
            tell(process, signal.SIGUSR1)
        except PermissionError:
            return


def no_node(storage: StorageSettings, *, number: signal.Signals) -> str:
    """Return why there is no node to be told something, and what to do."""
    if is_shared(storage.folder):
        return (
            f"storage.folder '{storage.folder}' is used by several processes (dokuei run --role), here or on other "
            f"machines: send {number.name} to the process that is meant (docs/scale-out.md)"
        )
    place = f"storage.folder '{storage.folder}' (relative to the directory that the node is started in)"
    return f"no node uses {place}: start it"


def _listens_to(process: int, number: signal.Signals) -> bool:
    """Ask the kernel which signals the process catches (proc(5), SigCgt)."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    masks = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(masks) and bool(int(masks[0], 16) >> (number - 1) & 1)
