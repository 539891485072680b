# SPDX-License-Identifier: Apache-2.0
"""What a peer is told: the one table from store outcomes to DIMSE statuses, and the reasons for a rejection."""

from enum import StrEnum

from service.ports import StoreOutcome

SUCCESS = 0x0000
PENDING = frozenset((0xFF00, 0xFF01))
PROCESSING_FAILURE = 0x0110
NO_SUCH_EVENT_TYPE = 0x0113
NO_SUCH_ARGUMENT = 0x0114
INVALID_ARGUMENT = 0x0115
SOP_CLASS_NOT_SUPPORTED = 0x0122
NO_SUCH_ACTION = 0x0123
NOT_AUTHORISED = 0x0124
UNRECOGNISED_OPERATION = 0x0211
RESOURCE_LIMITATION = 0x0213
OUT_OF_RESOURCES = 0xA700
DATA_SET_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

STORE_STATUS: dict[StoreOutcome, int] = {
    StoreOutcome.STORED: SUCCESS,
    StoreOutcome.DUPLICATE: SUCCESS,
    # The bytes are safe beside the first ones and a person is told; a failure would only make the sender repeat them.
    StoreOutcome.CONFLICT: SUCCESS,
    StoreOutcome.OUT_OF_RESOURCES: OUT_OF_RESOURCES,
    StoreOutcome.MISMATCH: DATA_SET_MISMATCH,
    StoreOutcome.CANNOT_UNDERSTAND: CANNOT_UNDERSTAND,
    # Permanent, unlike 0xA7xx, and does not blame the object, unlike 0xCxxx: an auto-router must not try again.
    StoreOutcome.OWN_RESULT: NOT_AUTHORISED,
}
"""C-STORE statuses of PS3.4 table B.2-1 and PS3.7 annex C."""


class Rejection(StrEnum):
    """Why an association was refused; the value is the metric label."""

    CALLED_AE = "called_ae"
    CALLING_AE = "calling_ae"
    ADDRESS = "address"
    CERTIFICATE = "certificate"
    DRAINING = "draining"
    TOO_MANY = "too_many"


REJECTION: dict[Rejection, tuple[int, int, int]] = {
    Rejection.CALLED_AE: (1, 1, 7),
    Rejection.CALLING_AE: (1, 1, 3),
    # A known title from a strange address or with a strange certificate is told the same as a strange title.
    Rejection.ADDRESS: (1, 1, 3),
    Rejection.CERTIFICATE: (1, 1, 3),
    Rejection.DRAINING: (2, 3, 1),
    Rejection.TOO_MANY: (2, 3, 2),
}
"""(result, source, reason) of A-ASSOCIATE-RJ, PS3.8 table 9-21."""
