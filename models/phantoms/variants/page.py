# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of docs/phantoms.md again from the data.

`python -m models.phantoms.variants.page docs/phantoms.md`
"""

import argparse
import re
from pathlib import Path

from models.phantoms.variants.table import VARIANTS, markdown


def renewed(page: str) -> str:
    """Return the page with its tables as they must be."""
    for kind in VARIANTS:
        marks = f"<!-- variants of {kind} -->\n", "<!-- end -->"
        pattern = re.compile(re.escape(marks[0]) + ".*?" + re.escape(marks[1]), re.DOTALL)
        page = pattern.sub(lambda _, kind=kind, marks=marks: marks[0] + markdown(kind) + marks[1], page)  # type: ignore[misc]
    return page


def main() -> None:
    """Write the page named on the command line."""
    parser = argparse.ArgumentParser(description="Write the tables of docs/phantoms.md again.")
    parser.add_argument("page", type=Path)
    path = parser.parse_args().page
    path.write_text(renewed(path.read_text()))


if __name__ == "__main__":
    main()
