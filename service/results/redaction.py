# SPDX-License-Identifier: Apache-2.0
"""What is wrong with an object, without the values that the checks quote: they may be a patient's."""

import re

from pydicom.datadict import tag_for_keyword

QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"|<(/?[^<>]*)>|\(([^()]*)\)|\[([^\[\]]*)\]")
"""Something in quotation marks or brackets: a keyword of the dictionary, or a value."""
KEYWORD = re.compile(r"/?(\w+)$")
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*[.,;:]?|[-=]|\d{1,3}[.,;:]?")
"""Words of a sentence, and small numbers; UIDs, dates and identifiers are longer."""
LONGEST = 160
PROGRAMS = ("dciodvfy", "dsrdump", "dsr2html")


def redacted(problem: str) -> str:
    """Return the problem with every value left out.

    What a rule says in its own words, and the keywords of elements, stay; all else becomes "…".
    """
    without_values = QUOTED.sub(_kept, problem)
    words = [word if _is_plain(word) else "…" for word in without_values.split()]
    text = " ".join(word for place, word in enumerate(words) if word != "…" or words[place - 1] != "…" or place == 0)
    return text[:LONGEST].strip()


def _kept(match: re.Match[str]) -> str:
    inner = next((group for group in match.groups() if group is not None), "")
    keywords = [found.group(1) for part in inner.split("/") if (found := KEYWORD.search(part.split("(")[0].strip()))]
    known = [keyword for keyword in keywords if tag_for_keyword(keyword)]
    return f" {'/'.join(known)} " if known and len(known) == len(keywords) else " … "


def _is_plain(word: str) -> bool:
    return word == "…" or WORD.fullmatch(word) is not None or _is_path(word) or word.rstrip(":") in PROGRAMS


def _is_path(word: str) -> bool:
    return all(tag_for_keyword(part) for part in word.split("/"))
