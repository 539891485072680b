# SPDX-License-Identifier: Apache-2.0
"""Data sets of storage commitment: what is written can be read, and an odd value refuses the message alone."""

import pytest
from pydicom.dataset import Dataset

from service.ports import CommitmentFailure, CommitmentReport, ObjectReference
from service.transport.commitment import decode_report, encode_report
from service.transport.data_set import UnreadableError, decode

IMPLICIT = "1.2.840.10008.1.2"
ONE = ObjectReference(sop_class_uid="1.2", sop_instance_uid="1.2.3")


def test_a_report_that_is_written_can_be_read() -> None:
    report = CommitmentReport(
        transaction_uid="2.25.1", committed=(ONE,), failed=(CommitmentFailure(reference=ONE, reason=0x0119),)
    )
    assert decode_report(decode(encode_report(report, transfer_syntax=IMPLICIT), IMPLICIT)) == report


def test_a_failure_reason_of_two_values_makes_the_report_unreadable() -> None:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID, item.FailureReason = "1.2", "1.2.3", [1, 2]
    report = Dataset()
    report.TransactionUID, report.FailedSOPSequence = "2.25.1", [item]
    with pytest.raises(UnreadableError, match="FailureReason"):
        decode_report(report)
