# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of the conformance statement anew: `python -m tests.conformance`; `--check` says what changed."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.conformance.pages import ROOT, renewed


def main() -> int:
    """Write the pages, or say which of them do not say what the code does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a table is wrong")
    only_checks = parser.parse_args().check
    stale = {page: text for page, text in renewed().items() if page.read_text(encoding="utf-8") != text}
    for page, text in stale.items():
        sys.stdout.write(f"{page.relative_to(ROOT)}: {'is not what the code says' if only_checks else 'written'}\n")
        if not only_checks:
            page.write_text(text, encoding="utf-8")
    return 1 if stale and only_checks else 0


if __name__ == "__main__":
    sys.exit(main())
