# SPDX-License-Identifier: Apache-2.0
"""The fenced blocks of our documents, and the commands in those for a shell."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
SHELLS = {"sh", "bash", "shell", "console"}
COMMENT = re.compile(r"(?:^|\s+)#\s.*$", re.MULTILINE)
EXIT_STATUS = re.compile(r"#.*\bexit (?:status|code) (\d+)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `language` is the first word behind the fence, `tag` what follows."""

    document: str
    line: int
    language: str
    tag: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """A whole command of a block, its comments and further lines included."""

    place: str
    source: str

    @property
    def text(self) -> str:
        """The command in one line, without comments."""
        return " ".join(COMMENT.sub("", self.source).replace("\\\n", " ").split())

    @property
    def status(self) -> int:
        """The exit status that the document tells in a comment, "# exit status 1"; otherwise success."""
        told = EXIT_STATUS.search(self.source)
        return int(told[1]) if told else 0


def documents() -> list[Path]:
    """README and everything under docs, but decisions: they tell what was, and give no instructions."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    return sorted(page for page in pages if "decisions" not in page.parts and page.name != "CHANGELOG.md")


def blocks(document: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a document."""
    name = str(document.relative_to(ROOT)) if document.is_relative_to(ROOT) else document.name
    for token in MarkdownIt().parse(document.read_text(encoding="utf-8")):
        if token.type == "fence" and token.map:
            language, _, tag = token.info.strip().partition(" ")
            yield Block(name, token.map[0] + 1, language, tag.strip(), token.content)


def commands(block: Block) -> list[Command]:
    """Return the commands of a block for a shell: lines that bash takes for one are one."""
    found: list[Command] = []
    source = ""
    for line in block.text.splitlines():
        source += (line.removeprefix("$ ") if block.language == "console" else line) + "\n"
        if is_whole(source):
            found.append(Command(f"{block.place} {line.strip()[:60]}", source.rstrip("\n")))
            source = ""
    if source.strip():
        raise ValueError(f"{block.place}: bash does not take this for whole commands:\n{source}")
    return [command for command in found if command.text]


def is_whole(source: str) -> bool:
    """Whether bash could begin to run it: no quote, here-document, bracket or line that goes on."""
    if source.rstrip("\n").endswith("\\"):
        return False
    answer = subprocess.run(["bash", "-n"], input=source, capture_output=True, text=True, check=False)
    return answer.returncode == 0 and "here-document" not in answer.stderr


def shell_blocks() -> list[Block]:
    """All blocks of all documents that are commands for a shell."""
    return [block for page in documents() for block in blocks(page) if block.language in SHELLS]
