# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/installation.md, word for word."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "installation.md").read_text(encoding="utf-8")


def documented_commands(section: str) -> list[str]:
    """The commands between `<!-- commands: SECTION -->` and `<!-- end -->`; a backslash continues a line."""
    block = re.search(rf"<!-- commands: {section} -->\n```sh\n(.*?)```\n<!-- end -->", PAGE, re.DOTALL)
    assert block is not None, f"docs/installation.md has no commands of {section!r}"
    lines = block[1].replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
