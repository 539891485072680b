# SPDX-License-Identifier: Apache-2.0
"""How much resident memory some work took at its peak, as Linux counts it."""

import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")
_RESET_PEAK: Final = "5"
"""What /proc/self/clear_refs takes to set the peak of resident memory back to the present (proc(5))."""


class PeakMemory:
    """Measures from where it is made; elsewhere than on Linux growth below an earlier peak goes unseen."""

    def __init__(self) -> None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
        self._before = _peak_bytes()

    def growth(self) -> int:
        """Return the bytes by which resident memory grew at its peak since."""
        return max(0, _peak_bytes() - self._before)


def _peak_bytes() -> int:
    with suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
