# SPDX-License-Identifier: Apache-2.0
"""What a viewer asks for in the URL: values of closed sets; anything else is refused, so that nothing is guessed."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from service.ports.pages import Request
from service.ports.status_page import Order, Position
from service.settings.results import Language

WINDOW_HOURS = (24, 72, 168, 744)
"""Times that the list goes back: a day, three, a week, a month."""
FIELDS = 8
LONGEST_QUERY = 256
POSITION = re.compile(r"([ur])(\d{1,10})")
LANGUAGE_RANGE = re.compile(r"\s*([A-Za-z*-]{1,35})\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?")

Member = TypeVar("Member", bound=StrEnum)


class BadQueryError(ValueError):
    """The URL asks for what there is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is to be shown, and in which language."""

    language: Language
    order: Order = Order.TRIAGE
    hours: int = WINDOW_HOURS[0]
    after: Position | None = None

    def link(self, path: str = "", **changes: object) -> str:
        """Return a URL that chooses the same but for the changes."""
        other = replace(self, **changes)  # type: ignore[arg-type]
        fields = {"lang": other.language.value, "order": other.order.value, "hours": str(other.hours)}
        if other.after is not None:
            fields["after"] = f"{'u' if other.after.urgent else 'r'}{other.after.study_id}"
        return f"{path}?{urlencode(fields)}"


def read_choice(request: Request) -> Choice:
    """Return what the query asks for; unknown fields are not looked at.

    Raises
    ------
    BadQueryError
        A field has a value that it cannot have, is given twice, or the query is too long.
    """
    fields = _fields(request.query)
    return Choice(
        language=_one_of(Language, fields["lang"]) if "lang" in fields else accepted_language(request),
        order=_one_of(Order, fields.get("order", Order.TRIAGE.value)),
        hours=_hours(fields.get("hours", str(WINDOW_HOURS[0]))),
        after=_position(fields["after"]) if "after" in fields else None,
    )


def accepted_language(request: Request) -> Language:
    """Return the language that the browser prefers of those that there are (RFC 9110 12.5.4), else English."""
    best, quality = Language.ENGLISH, 0.0
    for part in request.header("accept-language")[:LONGEST_QUERY].split(","):
        found = LANGUAGE_RANGE.fullmatch(part)
        known = {language.value: language for language in Language}
        language = known.get(found[1].lower().partition("-")[0]) if found else None
        weight = float(found[2] or 1) if found else 0.0
        if language is not None and weight > quality:
            best, quality = language, weight
    return best


def _fields(query: str) -> dict[str, str]:
    if len(query) > LONGEST_QUERY:
        raise BadQueryError("the query is too long")
    try:
        pairs = parse_qsl(query, max_num_fields=FIELDS)
    except ValueError as error:
        raise BadQueryError("the query has too many fields") from error
    if len(dict(pairs)) != len(pairs):
        raise BadQueryError("a field is given twice")
    return dict(pairs)


def _one_of(kind: type[Member], value: str) -> Member:
    try:
        return kind(value)
    except ValueError as error:
        raise BadQueryError("no such value") from error


def _hours(value: str) -> int:
    if value not in map(str, WINDOW_HOURS):
        raise BadQueryError("no such time")
    return int(value)


def _position(value: str) -> Position:
    found = POSITION.fullmatch(value)
    if found is None or int(found[2]) > 2**31 - 1:
        raise BadQueryError("no such position")
    return Position(urgent=found[1] == "u", study_id=int(found[2]))
