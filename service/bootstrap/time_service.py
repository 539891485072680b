# SPDX-License-Identifier: Apache-2.0
"""Whether a time service keeps this machine's clock: asked of the kernel (adjtimex(2)), which each of them tells."""

import ctypes
import struct
from dataclasses import dataclass

TIME_ERROR = 5
STA_UNSYNC, STA_NANO = 0x0040, 0x2000
TIMEX = "@Iqqqqi"
"""The first members of struct timex: modes, offset, freq, maxerror, esterror, status."""
TIMEX_BYTES = 256
"""More than the structure has on any platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockState:
    """`offset_seconds` is what a time service has yet to correct, `error_seconds` the most that it may be wrong by."""

    synchronised: bool
    offset_seconds: float
    error_seconds: float


def clock_state() -> ClockState | None:
    """Return what the kernel knows of the clock; None where it has no adjtimex."""
    adjtimex = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if adjtimex is None:
        return None
    buffer = ctypes.create_string_buffer(TIMEX_BYTES)  # modes 0: nothing is changed
    answer = adjtimex(buffer)
    _, offset, _, most, _, status = struct.unpack_from(TIMEX, buffer.raw)
    return ClockState(
        synchronised=0 <= answer < TIME_ERROR and not status & STA_UNSYNC,
        offset_seconds=offset / (1e9 if status & STA_NANO else 1e6),
        error_seconds=most / 1e6,
    )
