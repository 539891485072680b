# SPDX-License-Identifier: Apache-2.0
"""The observer that every room is given: logs and counts each event, and never fails the work that it watches."""

from service.domain.event import Event
from service.observability.counting import count
from service.observability.logs import EventLog
from service.observability.metrics import Metrics


class LoggingObserver:
    """Logs and counts events. Safe to call from any thread."""

    def __init__(self, log: EventLog, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

    def __call__(self, event: Event, /) -> None:
        """Log and count the event; a full disk under the log must not stop a study."""
        try:
            count(self._metrics, event)
            self._log(event)
        except Exception:  # noqa: BLE001 - outermost: whatever fails here is counted, and the caller goes on
            self._metrics.observer_failures.inc()
