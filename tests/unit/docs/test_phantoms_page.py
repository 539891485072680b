# SPDX-License-Identifier: Apache-2.0
"""docs/phantoms.md lists the variants that there are, word for word."""

from pathlib import Path

import pytest
from PIL import Image

from models.phantoms.pictures import SHEETS
from models.phantoms.variants.table import VARIANTS, markdown

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "phantoms.md").read_text()


@pytest.mark.parametrize("kind", VARIANTS)
def test_the_table_of_the_page_is_the_table_of_the_code(kind: str) -> None:
    told = PAGE.split(f"<!-- variants of {kind} -->\n")[1].split("<!-- end -->")[0]
    assert told == markdown(kind), "write it again: python -m models.phantoms.variants.page docs/phantoms.md"


@pytest.mark.parametrize("kind", SHEETS)
def test_the_pictures_are_there_and_small(kind: str) -> None:
    path = DOCS / "pictures" / f"phantom_{kind}.png"
    assert f"pictures/{path.name}" in PAGE
    assert path.stat().st_size < 80_000
    with Image.open(path) as picture:
        assert picture.mode == "L"
