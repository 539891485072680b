# SPDX-License-Identifier: Apache-2.0
"""Why an object is not let in: the closed set behind metrics and the quarantine."""

from enum import StrEnum


class Fault(StrEnum):
    """What is wrong with the structure or the identity of an object that a peer sent."""

    NOT_PART10 = "not_part10"
    TRANSFER_SYNTAX = "transfer_syntax"
    COMMAND_UID = "command_uid"
    """A UID of the C-STORE command itself breaks PS3.5 9.1: the object is refused unread, and nothing is kept."""
    TRUNCATED = "truncated"
    """A length reaches past the end of its container or of the file, or an end is missing."""
    DUPLICATE_ELEMENT = "duplicate_element"
    ELEMENT_ORDER = "element_order"
    WRONG_GROUP = "wrong_group"
    """An element of a group that no data set may hold (PS3.5 7.1), file meta information for one."""
    VALUE_REPRESENTATION = "value_representation"
    """No VR of PS3.5 6.2: damaged, or implicit VR where explicit was announced."""
    ODD_LENGTH = "odd_length"
    UNDEFINED_LENGTH = "undefined_length"
    DELIMITER = "delimiter"
    TOO_DEEP = "too_deep"
    TOO_MANY_ITEMS = "too_many_items"
    TOO_MANY_ELEMENTS = "too_many_elements"
    TOO_MANY_VALUES = "too_many_values"
    CHARACTER_SET = "character_set"
    IDENTITY = "identity"
    """A UID, Patient ID, Accession Number or name that two readers could read differently."""
    UID_MISMATCH = "uid_mismatch"
    """The data set's SOP class or instance UID is not the one of the command (PS3.4 B.2.3)."""


TOLERABLE = frozenset((Fault.ELEMENT_ORDER, Fault.VALUE_REPRESENTATION, Fault.ODD_LENGTH, Fault.TRUNCATED))
"""Faults of which a lenient admission forgives the harmless kinds; the others are never forgiven."""
