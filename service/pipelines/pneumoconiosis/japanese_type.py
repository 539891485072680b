# SPDX-License-Identifier: Apache-2.0
"""The type of a film after article 4 of the Japanese Pneumoconiosis Act, as a candidate for a physician to judge.

It is a proposal about one picture. What the Act derives from a type, together with lung function and work history, is
decided by others and is never said here.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from service.pipelines.pneumoconiosis.large_opacities import LargeCategory
from service.pipelines.pneumoconiosis.reading import PROFUSION, FilmReading


class JapaneseType(StrEnum):
    """Types 1 to 4 of the Act; PR0 is none of them."""

    PR0 = "PR0"
    PR1 = "PR1"
    PR2 = "PR2"
    PR3 = "PR3"
    PR4 = "PR4"


TYPE_OF_PROFUSION: Final = MappingProxyType(
    {
        "0/-": JapaneseType.PR0,
        "0/0": JapaneseType.PR0,
        "0/1": JapaneseType.PR0,
        "1/0": JapaneseType.PR1,
        "1/1": JapaneseType.PR1,
        "1/2": JapaneseType.PR1,
        "2/1": JapaneseType.PR2,
        "2/2": JapaneseType.PR2,
        "2/3": JapaneseType.PR2,
        "3/2": JapaneseType.PR3,
        "3/3": JapaneseType.PR3,
        "3/+": JapaneseType.PR3,
    }
)
"""Few, many, very many small opacities, in the words of the Act, as the 12-point scale has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeCandidate:
    """The candidate, None where the Act's conditions are not met; `why` says what it rests on, or what is missing."""

    type: JapaneseType | None
    why: str


def type_candidate(reading: FilmReading, large: LargeCategory | None) -> TypeCandidate:
    """Return the candidate of a film; `large` is the category of the Japanese rule, None where nothing looked for it.

    Types 1 to 3 are of "both lung fields" in the words of the Act; a large opacity is type 4 on whichever side.
    """
    if large is not None and large is not LargeCategory.NONE:
        return TypeCandidate(type=JapaneseType.PR4, why=f"large opacity {large.value} by the Japanese rule")
    limit = "; large opacities were not read, so that type 4 is not excluded" if large is None else ""
    found = TYPE_OF_PROFUSION[PROFUSION[reading.step]]
    if found is not JapaneseType.PR0 and not reading.bilateral:
        why = f"small opacities were not read in both lungs, which types 1 to 3 ask for{limit}"
        return TypeCandidate(type=None, why=why)
    return TypeCandidate(type=found, why=f"profusion {reading.profusion}{limit}")
