# SPDX-License-Identifier: Apache-2.0
"""The one observer that every room is given: it passes each event on, and never fails the work that it watches."""

import logging

from service.domain.event import Event
from service.ports import Observer

logger = logging.getLogger(__name__)


def combine(*observers: Observer) -> Observer:
    """Return an observer that calls each of `observers` in turn and never raises."""
    return _Combined(observers)


class _Combined:
    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self._observers = observers
        self._failed: set[str] = set()

    def __call__(self, event: Event, /) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - outermost: a full disk under the log must not stop a study
                self._report(type(observer).__name__, type(error).__name__)

    def _report(self, observer: str, error: str) -> None:
        """Say it once: what fails for one event fails for thousands."""
        if observer not in self._failed:
            self._failed.add(observer)
            logger.error("observer %s fails with %s; events are lost to it", observer, error)
