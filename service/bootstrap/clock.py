# SPDX-License-Identifier: Apache-2.0
"""The clocks of this machine."""

import time
from datetime import UTC, datetime


class SystemClock:
    """`ports.Clock` of the machine."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""
        return time.monotonic()
