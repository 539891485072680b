# SPDX-License-Identifier: Apache-2.0
"""Carries events from a child process to the parent's observer, as JSON inside the reply."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from service.domain import event as events
from service.domain.event import Event
from service.ports import Observer

EVENTS_KEY: Final = "events"
"""Key of a reply under which a handler returns `EventRecorder.take()`."""


class EventRecorder:
    """An observer for the child: keeps events until the reply is written."""

    def __init__(self) -> None:
        self._recorded: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        """Keep the event."""
        self._recorded.append({"event": type(event).__name__, "fields": asdict(event)})

    def take(self) -> list[dict[str, Any]]:
        """Return what was recorded, as JSON types, and forget it."""
        taken, self._recorded = self._recorded, []
        return taken


def relay_events(reply: Mapping[str, Any], observer: Observer) -> None:
    """Hand the events of a reply to the parent's observer."""
    for entry in reply.get(EVENTS_KEY, []):
        kind = getattr(events, entry["event"])
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in entry["fields"].items()}
        observer(kind(**fields))
