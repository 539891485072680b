# SPDX-License-Identifier: Apache-2.0
"""Asks an archive what it has: Study Root C-FIND, level by level as PS3.4 C.4.1 wants it."""

from collections.abc import Collection

from pydicom.dataset import Dataset

from service.transport.data_set import UnreadableError, decode, encode
from service.transport.dimse import MEDIUM, CommandField, Tag, request
from service.transport.negotiation import Accepted
from service.transport.requestor import Requestor
from service.transport.sop_classes import STUDY_ROOT_FIND
from service.transport.statuses import PENDING, SUCCESS

UIDS_IN_ONE_QUERY = 50


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
    """Return all matches of one query (PS3.4 C.4.1)."""
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    elements = request(CommandField.C_FIND, data_set=True, affected_sop_class_uid=STUDY_ROOT_FIND, priority=MEDIUM)
    association.send(context, elements, encode(query, context.transfer_syntax))
    matches: list[Dataset] = []
    while True:
        command, data = association.read()
        status = command.number(Tag.STATUS)
        if status not in PENDING:
            if status != SUCCESS:
                raise ConnectionError(f"answered C-FIND with 0x{status:04X}")
            return matches
        try:
            matches.append(decode(data, context.transfer_syntax))
        except UnreadableError as error:
            raise ConnectionError(f"sent a match that cannot be read ({error})") from None
