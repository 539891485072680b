# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of a process and its descendants."""

import os
from contextlib import suppress
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """Return the process and all that descend from it and live."""
    found = [pid]
    for parent in found:  # grows while it is read
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of the process, its living descendants and those that it has waited for."""
    return sum(_own_seconds(each) for each in descendants(pid))


def _own_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(value) for value in fields[11:15]) / TICKS_PER_SECOND


def memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Resident memory now ("VmRSS") or at its highest ("VmHWM"), of this process alone."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status[field].split()[0]) / 1024


def forget_peak_memory(pid: int) -> None:
    """Let VmHWM begin again from the memory of now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def file_system(path: Path) -> str:
    """Return the type of the file system that holds a path, as /proc/mounts names it."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, place, kind, *_ = line.split()
        inside = path.resolve().is_relative_to(place)
        if inside and len(place) >= len(best[0]):
            best = (place, kind)
    return best[1]
