# SPDX-License-Identifier: Apache-2.0
"""Asks an archive what it has: Study Root C-FIND, level by level as PS3.4 C.4.1 wants it."""

import time
from collections.abc import Collection, Iterator

from pydicom.dataset import Dataset

from service.transport.data_set import UnreadableError, decode, encode
from service.transport.dimse import MEDIUM, Command, CommandField, Tag, request
from service.transport.negotiation import Accepted
from service.transport.requestor import Requestor
from service.transport.sop_classes import STUDY_ROOT_FIND
from service.transport.statuses import PENDING, SUCCESS

UIDS_IN_ONE_QUERY = 50


class TooSlowError(ConnectionError):
    """The archive has not come to an end in the time that it had."""


class QueryFailedError(ConnectionError):
    """The archive answered a query with a failure."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answered C-FIND with 0x{status:04X}")


def find_instances(association: Requestor, context: Accepted, study: str, wanted: Collection[str]) -> set[str]:
    """Ask for the study's series, and in each for the wanted instances, until all are found."""
    found: set[str] = set()
    names = sorted(wanted)
    for series in _find(association, context, "SERIES", StudyInstanceUID=study, SeriesInstanceUID=""):
        for start in range(0, len(names), UIDS_IN_ONE_QUERY):
            keys = {"StudyInstanceUID": study, "SeriesInstanceUID": str(series.get("SeriesInstanceUID", ""))}
            some = names[start : start + UIDS_IN_ONE_QUERY]
            matches = _find(association, context, "IMAGE", **keys, SOPInstanceUID=some)
            found.update(str(match.get("SOPInstanceUID", "")) for match in matches)
        if found.issuperset(wanted):
            break
    return found


def _find(association: Requestor, context: Accepted, level: str, **keys: str | list[str]) -> list[Dataset]:
    """Return all matches of one query."""
    return list(matches(association, context, query(level, **keys)))


def query(level: str, **keys: str | list[str]) -> Dataset:
    """Return the identifier of a query: its level, and keys to match or (empty) to be told (PS3.4 C.2.2.1)."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def matches(
    association: Requestor, context: Accepted, identifier: Dataset, *, ends: float | None = None
) -> Iterator[Dataset]:
    """Ask, and yield every match until the archive has said the last (PS3.4 C.4.1).

    `ends` is when the last word must have come, on the monotonic clock; each wait is as long as the association's
    patience when it is None.

    Raises
    ------
    ConnectionError
        The association broke, the archive was silent, answered with a failure, or with what cannot be read.
    """
    elements = request(CommandField.C_FIND, data_set=True, affected_sop_class_uid=STUDY_ROOT_FIND, priority=MEDIUM)
    association.send(context, elements, encode(identifier, context.transfer_syntax))
    while True:
        command, data = read_until(association, ends)
        status = command.number(Tag.STATUS)
        if status not in PENDING:
            if status != SUCCESS:
                raise QueryFailedError(status)
            return
        try:
            yield decode(data, context.transfer_syntax)
        except UnreadableError as error:
            raise ConnectionError(f"sent a match that cannot be read ({error})") from None


def read_until(association: Requestor, ends: float | None) -> tuple[Command, bytes]:
    """Read the next message; `ends` is as for `matches`, and holds for an archive that always has one more too."""
    if ends is None:
        return association.read()
    left_seconds = ends - time.monotonic()
    if left_seconds <= 0:
        association.abort()
        raise TooSlowError("took too long")
    return association.read(seconds=left_seconds)
