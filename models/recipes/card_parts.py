# SPDX-License-Identifier: Apache-2.0
"""A section of a model card that comes and goes with a part of the package."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPart:
    """Where the section goes, and which sentence of the card it makes untrue.

    `title` is the section's first line, `before` the heading that it stands in front of. `without` is what the card
    says as long as the package has no such part, `told` what it says in its place.
    """

    title: str
    before: str
    without: str
    told: str

    def add(self, card: str, section: str) -> str:
        """Return the card with the section, which begins with `title`.

        Raises
        ------
        ValueError
            The card has no such place: it tells of the part already, or is another package's.
        """
        for place in (self.without, self.before):
            if card.count(place) != 1:
                raise ValueError(f"the model card has {card.count(place)} places {place!r}; one is needed to add to it")
        return card.replace(self.without, self.told).replace(self.before, section + self.before)

    def remove(self, card: str) -> str:
        """Return the card as it is without the part; unchanged where it does not tell of it."""
        bare = re.sub(f"{re.escape(self.title)}.*?(?={re.escape(self.before)})", "", card, flags=re.DOTALL)
        return bare.replace(self.told, self.without)
