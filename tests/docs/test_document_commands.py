# SPDX-License-Identifier: Apache-2.0
"""Every command in the documents is executed, or tried as far as this machine allows; commands.toml says how."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from doc_blocks import ROOT, Block, Command, blocks, commands, documents, is_whole
from doc_sandbox import Sandbox
from doc_table import WAYS, Row, classified, row_of, rows

from harness.fixtures import StartOrthanc
from service.cli.app import app

CLASSIFIED = classified()
EVERY = [(command, row) for _, found in CLASSIFIED for command, row in found]
PROGRAMS = {
    "dokuei",
    "make",
    "python",
    "python3",
    "openssl",
    "curl",
    "sudo",
    "systemctl",
    "docker",
    "podman",
    "storescu",
}
LANGUAGES = {"sh", "bash", "shell", "console", "yaml", "text", "python", "sql", "json", "lua", "ini", "toml", "promql"}


def executed(needs: str, *, long: bool) -> list[list[tuple[Command, Row]]]:
    """The blocks in which something is run with these needs, each with what is run."""
    found = [[(command, row) for command, row in block if row and row.how == "run"] for _, block in CLASSIFIED]
    return [block for block in found if block and needs_of(block) == needs and is_long(block) == long]


def needs_of(block: list[tuple[Command, Row]]) -> str:
    """What the most demanding command of a block needs."""
    return max((row.needs for _, row in block), key=("", "pacs", "node", "orthanc").index)


def is_long(block: list[tuple[Command, Row]]) -> bool:
    return any(row.long for _, row in block)


def check(sandbox: Sandbox, block: list[tuple[Command, Row]]) -> None:
    for done, (_, row) in zip(sandbox.execute(block), block, strict=True):
        right = {done.command.status, *row.may_end_with}
        assert done.status in right, f"{done.command.place}: exit status {done.status}\n{done.output}"


# --- what the table must hold


def test_every_command_is_classified() -> None:
    assert len(EVERY) > 30
    assert [command.place for command, row in EVERY if row is None] == [], "add a row to tests/docs/commands.toml"


def test_every_row_is_sound_and_used() -> None:
    used = {row for _, row in EVERY if row}
    for row in rows():
        assert row.how in WAYS
        assert row.why or row.how in {"run", "served"}, f"{row.match}: say why it is not executed"
        assert row.needs in {"", "pacs", "node", "orthanc"}
        assert row.generic or row in used, f"{row.match} fits no command; remove it"


def test_a_block_needs_one_kind_of_sandbox() -> None:
    for block, found in CLASSIFIED:
        needs = {row.needs for _, row in found if row and row.how == "run"}
        assert not {"pacs", "node"} <= needs, (
            f"{block.place}: split the block; one part wants the ports that the other has"
        )


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_says_its_language(document: Path) -> None:
    """A command in a block without a language would be executed by nobody."""
    for block in blocks(document):
        assert block.language in LANGUAGES, f"{block.place}: {block.language!r}; one of {sorted(LANGUAGES)}"
        words = {line.split()[0].rpartition("/")[2] for line in block.text.splitlines() if line.split()}
        assert block.language != "text" or not words & PROGRAMS, f"{block.place}: commands belong into a block of sh"


# --- what is executed


@pytest.mark.parametrize("block", executed("", long=False), ids=lambda block: block[0][0].place.partition(" ")[0])
def test_commands_do_what_the_document_says(block: list[tuple[Command, Row]], tmp_path: Path) -> None:
    check(Sandbox(tmp_path / "site"), block)


@pytest.mark.docs_long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", executed("", long=True), ids=lambda block: block[0][0].place.partition(" ")[0])
def test_long_commands_do_what_the_document_says(block: list[tuple[Command, Row]], tmp_path: Path) -> None:
    check(Sandbox(tmp_path / "site"), block)


@pytest.mark.peers
def test_commands_beside_a_pacs_and_a_node(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    """One Orthanc and one node for all of them: first what wants free ports, then what wants a node."""
    sandbox = Sandbox(tmp_path / "site", pacs=start_orthanc())
    first = executed("pacs", long=False)
    assert first
    for block in first:
        check(sandbox, block)
    (serving, *_) = [command for command, row in EVERY if row and row.how == "served"]
    sandbox.serve(serving)
    try:
        for block in executed("node", long=False):
            check(sandbox, block)
    finally:
        status = sandbox.stop()
    assert status == 0, "SIGTERM is an orderly end"


# --- what is tried without being executed


@pytest.mark.parametrize("command", [c for c, row in EVERY if row and row.how == "make"], ids=lambda c: c.place)
def test_targets_are_there(command: Command) -> None:
    answer = subprocess.run(["make", "-n", *shlex.split(command.text)[1:]], cwd=ROOT, capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr.decode()


@pytest.mark.parametrize("command", [c for c, row in EVERY if row and row.how == "help"], ids=lambda c: c.place)
def test_sub_commands_and_options_are_there(command: Command) -> None:
    program, *words = shlex.split(command.text)
    if program.rpartition("/")[2] == "dokuei":
        check_words(words)
    else:
        assert program in {"python", "python3"}
        check_module(words)


def check_words(words: list[str]) -> None:
    """Follow the words of a command of dokuei through the program; fail at one that it does not know."""
    group: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(group, "commands"):
        assert rest, "the command stops before its sub-command"
        name = rest.pop(0)
        assert name in group.commands, f"dokuei knows no {name!r}"
        group = group.commands[name]
    known = {name for parameter in group.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)} <= known | {"--help", "-h"}


def check_module(words: list[str]) -> None:
    """A module, its sub-command and its options must be said by a parser in the module's own package."""
    assert words[0] == "-m"
    said = strings_of(words[1])
    asked = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
    asked |= {word for word in words[2:3] if re.fullmatch(r"[a-z]+", word)}
    assert asked <= said, f"{words[1]} does not know {sorted(asked - said)}"


def strings_of(module: str) -> set[str]:
    place = ROOT / module.replace(".", "/")
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.docs_long
@pytest.mark.parametrize(
    "module", sorted({shlex.split(c.text)[2] for c, row in EVERY if row and c.text.startswith("python -m models")})
)
def test_modules_of_the_workbench_show_their_help(module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "usage" in answer.stdout.lower()


INLINE = re.compile(r"`(?:\S*/)?(dokuei [^`]+)`")


def inline() -> Iterator[tuple[str, str]]:
    for document in documents():
        for told in INLINE.findall(document.read_text(encoding="utf-8")):
            yield document.name, " ".join(told.split())


@pytest.mark.parametrize(("document", "told"), sorted(set(inline())))
def test_commands_within_a_sentence_are_there(document: str, told: str) -> None:
    """`dokuei quarantine list | show` names alternatives; capital words stand for the reader's own."""
    words = [word for word in told.split()[1:] if word != "..."]
    alternatives = {words[number + 1] for number, word in enumerate(words[:-1]) if word == "|"}
    check_words_of_prose([word for word in words if word != "|" and word not in alternatives])
    for other in alternatives:
        first = words[: words.index("|") - 1]
        check_words_of_prose([*first, other])


def check_words_of_prose(words: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    names = [word for word in words if re.fullmatch(r"[a-z-]*[a-z]", word) and not word.startswith("-")]
    for name in names:
        if not hasattr(group, "commands"):
            break
        assert name in group.commands, f"dokuei knows no {name!r}"
        group = group.commands[name]
    known = {option for parameter in group.params for option in parameter.opts} | {"--help", "-h"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


# --- the guards do guard


def test_an_unclassified_command_is_found() -> None:
    assert row_of(Command("here", "rm -rf /"), rows()) is None


def test_a_wrong_option_or_sub_command_is_found() -> None:
    for words in (["models", "czech"], ["check", "--colour"], ["phantom", "radiograph", "--profusions", "1/1"]):
        with pytest.raises(AssertionError):
            check_words(words)
    with pytest.raises(AssertionError, match="--groupings"):
        check_module(["-m", "models.clustering", "phenotypes", "--groupings", "2"])


def test_a_wrong_exit_status_is_found(tmp_path: Path) -> None:
    told = Command("here", "false   # exit status 2")
    assert told.status == 2
    with pytest.raises(AssertionError, match="exit status 1"):
        check(Sandbox(tmp_path / "site"), [(told, Row(match="", how="run"))])
    check(Sandbox(tmp_path / "other"), [(Command("here", "false # exit status 1"), Row(match="", how="run"))])


def test_a_command_of_several_lines_is_one() -> None:
    here = "cat > file <<'END'\nnode: {}\nEND\n"
    loop = "for name in a b; do\n  echo $name\ndone\n"
    text = f"{here}openssl req \\\n  -x509\n{loop}# only words\n"
    found = commands(Block("here", 1, "sh", "", text))
    assert [command.text for command in found] == [
        "cat > file <<'END' node: {} END",
        "openssl req -x509",
        "for name in a b; do echo $name done",
    ]
    assert not is_whole("echo 'open\n")
