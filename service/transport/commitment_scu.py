# SPDX-License-Identifier: Apache-2.0
"""The requestor's side of storage commitment: what comes back on the association of an N-ACTION (PS3.4 J.3)."""

from service.ports import CommitmentReport
from service.transport.commitment import decode_report
from service.transport.data_set import UnreadableError, decode
from service.transport.dimse import Command, CommandField, Tag, response
from service.transport.negotiation import Accepted
from service.transport.requestor import Requestor
from service.transport.statuses import INVALID_ARGUMENT, SUCCESS


def until_answer(
    association: Requestor, context: Accepted, transaction_uid: str
) -> tuple[Command, CommitmentReport | None]:
    """Return the answer to N-ACTION, and the report of an archive that is quicker with it than with its answer."""
    report = None
    while True:
        command, data = association.read()
        if command.is_response:
            return command, report
        report = _answered(association, context, command, data, transaction_uid) or report


def take_report(association: Requestor, context: Accepted, transaction_uid: str) -> CommitmentReport | None:
    """Return the report that has begun to arrive, if it is of our transaction."""
    command, data = association.read()
    return _answered(association, context, command, data, transaction_uid)


def _answered(
    association: Requestor, context: Accepted, command: Command, data: bytes, transaction_uid: str
) -> CommitmentReport | None:
    """Answer an N-EVENT-REPORT and return its report when it is of our transaction."""
    if command.field != CommandField.N_EVENT_REPORT:
        raise ConnectionError("sent a request that nobody asked for")
    try:
        report = decode_report(decode(data, context.transfer_syntax))
        status = SUCCESS
    except UnreadableError:
        report, status = None, INVALID_ARGUMENT
    event_type_id = command.elements.get(Tag.EVENT_TYPE_ID, 0)
    association.reply(context, response(command, status, event_type_id=event_type_id))
    return report if report is not None and report.transaction_uid == transaction_uid else None
