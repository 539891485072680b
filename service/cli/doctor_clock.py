# SPDX-License-Identifier: Apache-2.0
"""`dokuei doctor` looks at the clock."""

from collections.abc import Iterator
from datetime import UTC, datetime

from service.cli.finding import Finding
from service.observability.machine import read_clock
from service.settings import Settings

CLOCK_SECONDS = 1.0
"""What IHE Consistent Time asks for."""


def look_at_clock(settings: Settings) -> Iterator[Finding]:  # noqa: ARG001 - one signature for all looks
    """Yield whether a time service keeps this machine's clock."""
    state, here = read_clock(), datetime.now(UTC).astimezone()
    zone = f"{here.tzname()}, UTC{here:%z}"
    if state is None:
        yield Finding(subject="clock", well=True, text=f"this kernel does not say whether it is kept right ({zone})")
        return
    far = abs(state.offset) > CLOCK_SECONDS
    kept = f"is {state.offset:+.6f} s off, at most {state.max_error:.3f} s wrong ({zone})"
    yield Finding(
        subject="clock",
        well=state.synchronised and not far,
        text=kept if state.synchronised else f"no time service keeps it right ({zone})",
        advice="run chrony or systemd-timesyncd with the hospital's time server: results carry this clock's time, and "
        "IHE Consistent Time asks for a second",
    )
