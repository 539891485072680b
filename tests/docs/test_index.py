# SPDX-License-Identifier: Apache-2.0
"""docs/README.md leads to every document, on one screen."""

import re
from pathlib import Path

from doc_blocks import ROOT

INDEX = ROOT / "docs" / "README.md"
ANNEXES = {"conformance", "decisions"}
"""Folders whose pages are reached from the page that they belong to."""


def led_to() -> set[Path]:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", INDEX.read_text(encoding="utf-8"))
    return {(INDEX.parent / link).resolve() for link in links}


def test_every_document_is_in_the_index() -> None:
    pages = {page for page in (ROOT / "docs").rglob("*.md") if page != INDEX and page.parent.name not in ANNEXES}
    assert len(pages) > 10
    assert {str(page.relative_to(ROOT)) for page in pages - led_to()} == set(), "add a link to docs/README.md"


def test_the_index_fits_on_a_screen() -> None:
    assert len(INDEX.read_text(encoding="utf-8").splitlines()) <= 40
