# SPDX-License-Identifier: Apache-2.0
"""Says the page's English sentences in the viewer's language: one table for each other language."""

from collections.abc import Mapping
from functools import partial

from service.settings.results import Language
from service.web.japanese import JAPANESE
from service.web.moments import Say

TABLES: Mapping[Language, Mapping[str, str] | None] = {Language.ENGLISH: None, Language.JAPANESE: JAPANESE}


def say_in(language: Language) -> Say:
    """Return what says an English sentence in a language."""
    return partial(_say, TABLES[language])


def _say(table: Mapping[str, str] | None, sentence: str, /, **values: object) -> str:
    """Return the sentence with its `{names}` filled in; one that the table lacks stays English, as tests forbid."""
    said = sentence if table is None else table.get(sentence, sentence)
    return said.format(**values) if values else said
