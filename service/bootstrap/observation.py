# SPDX-License-Identifier: Apache-2.0
"""Carries events from the child processes to the parent's one observer, as JSON."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Any

from service.domain.event import Event, InferenceFinished, ObjectHeld, ProviderPassedOver, SourceItemsLeftOut
from service.ports import AnalysisRequest, Observer

CARRIED: dict[str, type[InferenceFinished] | type[ObjectHeld] | type[ProviderPassedOver] | type[SourceItemsLeftOut]] = {
    "InferenceFinished": InferenceFinished,
    "ObjectHeld": ObjectHeld,
    "ProviderPassedOver": ProviderPassedOver,
    "SourceItemsLeftOut": SourceItemsLeftOut,
}
"""The events that happen in a child; the table is closed, because a child's words are input."""

StudyKey = Callable[[str], str]


def to_json(event: Event) -> dict[str, Any]:
    """Return the event with the name of its type."""
    return {"event": type(event).__name__, **asdict(event)}


class WorkObserver:
    """Hands a child's events to the node's observer and adds the study's key, which a child does not know.

    `moved` is told of providers that failed at work.
    """

    def __init__(
        self, observe: Observer, study_key: StudyKey, *, moved: Callable[[ProviderPassedOver], None] = lambda _: None
    ) -> None:
        self._observe = observe
        self._study_key = study_key
        self._moved = moved

    def __call__(self, events: Iterable[dict[str, Any]], request: AnalysisRequest) -> None:
        """Pass on the events of one reply."""
        for values in events:
            fields: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
            }
            event = CARRIED[fields.pop("event")](**fields)
            if isinstance(event, ObjectHeld | SourceItemsLeftOut):
                event = replace(event, study_key=self._study_key(request.study_instance_uid))
            if isinstance(event, ProviderPassedOver):
                self._moved(event)
            self._observe(event)
