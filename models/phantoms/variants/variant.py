# SPDX-License-Identifier: Apache-2.0
"""What an awkward variant is: a change of a plain study, and what the node owes it."""

from dataclasses import dataclass
from enum import StrEnum

from models.phantoms.variants.stored import Datasets, Study


class Expected(StrEnum):
    """What the node must do with a variant."""

    ALIKE = "alike"
    """Analysed; the same findings, and no flag that the plain study has not."""
    FLAGGED = "flagged"
    """Analysed; the same findings, and each reason is among the flags."""
    REFUSED = "refused"
    """Not analysed; each reason is among those given."""
    PARTLY = "partly"
    """Partly analysed; each reason is among those given."""
    UNREADABLE = "unreadable"
    """An error of the input, never a result."""


def unchanged(images: Datasets) -> Datasets:
    """Return the study as it is."""
    return images


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row of the table.

    Parameters
    ----------
    kind
        "radiograph", "hrct" or "mammogram": which plain study is changed.
    change
        What is changed, for the table in docs/phantoms.md.
    reasons
        Codes of the reasons or flags that the node must give.
    is_valid
        Whether dciodvfy must find no error.
    is_loose
        The findings need not be those of the plain study: the picture is another one.
    says
        Words that the result must hold.
    needs
        A program that writing it takes.
    defect
        What the node does instead today; the row is an expected failure until that is mended.
    """

    kind: str
    name: str
    change: str
    expected: Expected
    reasons: tuple[str, ...] = ()
    edit: Study = unchanged
    is_valid: bool = True
    is_loose: bool = False
    says: str = ""
    needs: str = ""
    defect: str = ""
