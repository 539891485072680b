# SPDX-License-Identifier: Apache-2.0
"""Reads config.yaml: every problem at once, each with its line, the key, the value, the rule and the remedy."""

import difflib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from service.settings.agreement import DisagreementError, Location, Misfit
from service.settings.places import line_of, lines_of
from service.settings.plain_yaml import PlainLoader
from service.settings.schema import Settings

MAX_CONFIG_BYTES = 1_000_000
MAX_PROBLEMS = 100
"""So many problems are told at once; whoever has more has another file in hand."""
WRITABLE_BY_ALL = stat.S_IWOTH
SHOWN_VALUE_LENGTH = 60

SECRETIVE: tuple[Location, ...] = (("database_url",),)
"""Keys whose value is not shown: somebody may have put a password into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in config.yaml.

    `line` counts from 1 and is 0 when no line can be named; `more_lines` are those of the other keys that it is about.
    """

    line: int
    key: str
    message: str
    more_lines: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Return "line 7: node.port: ...", or "line 7 with 12: ...", the form that editors can jump to."""
        also = " with " + ", ".join(map(str, self.more_lines)) if self.more_lines else ""
        place = f"line {self.line}{also}: " if self.line else ""
        return f"{place}{self.key}: {self.message}" if self.key else f"{place}{self.message}"


class SettingsError(ValueError):
    """config.yaml cannot be used; `problems` holds every reason."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source} has {len(problems)} problem(s):\n{lines}")
        self.problems = problems


def load_settings(path: Path) -> Settings:
    """Read and check a configuration file.

    Raises
    ------
    SettingsError
        With every problem of the file, or the one reason why it cannot be read.
    """
    try:
        text = _decoded(_content(path), str(path))
    except OSError as error:
        raise _refused(str(path), f"cannot be read: {error.strerror}") from error
    return parse_settings(text, source=str(path))


def _content(path: Path) -> bytes:
    """Return the bytes of a plain file of bounded size that not everybody may write; nothing else is even opened."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise _refused(str(path), "is no plain file; name the file itself")
    if status.st_mode & WRITABLE_BY_ALL:
        raise _refused(str(path), f"everybody on this machine may change it; chmod 0640 {path}")
    with path.open("rb") as stream:
        content = stream.read(MAX_CONFIG_BYTES + 1)
    if len(content) > MAX_CONFIG_BYTES:
        raise _refused(str(path), f"file is larger than {MAX_CONFIG_BYTES} bytes; is it the right one?")
    return content


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")  # YAML 1.2 section 5.2 allows the mark, and some editors write it
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{content[error.start]:02X} is not UTF-8; save the file as UTF-8"
        raise SettingsError(source, (Problem(line=line, key="", message=message),)) from None


def parse_settings(text: str, *, source: str = "config.yaml") -> Settings:
    """Check configuration text; see `load_settings`."""
    node, data = _parse_yaml(text, source)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        found = [detail for detail in details if detail["loc"]]
        misfits = _misfits(found, data)
        told = [_explain(detail, node) for detail in found[:MAX_PROBLEMS]]
        told += [_spanning(misfit, node) for misfit in misfits[: MAX_PROBLEMS - len(told)]]
        problems = sorted(told, key=lambda problem: problem.line)
        raise SettingsError(source, (*problems, *_untold(len(found) + len(misfits) - len(told)))) from None


def locate_problems(problems: Sequence[str], path: Path) -> list[Problem]:
    """Give problems that begin with a key ("destinations.pacs.tls: ...") their lines in a file that was accepted.

    Entries of lists are called by their names there.
    """
    node, _ = _parse_yaml(_decoded(_content(path), str(path)), str(path))
    return [_located(problem, node) for problem in problems]


def _located(problem: str, node: yaml.Node | None) -> Problem:
    key, _, message = problem.partition(": ")
    return Problem(line=line_of(node, tuple(key.split("."))), key=key, message=message)


def _misfits(details: Sequence[ErrorDetails], data: dict[str, Any]) -> tuple[Misfit, ...]:
    """Return how sections contradict each other, but for those that are wrong in themselves (pydantic stops there)."""
    wrong = frozenset(str(detail["loc"][0]) for detail in details)
    others = {name: section for name, section in data.items() if name not in wrong}
    try:
        Settings.model_validate(others, context=wrong)
    except ValidationError as error:
        disagreement: DisagreementError = error.errors()[0]["ctx"]["error"]
        return disagreement.misfits
    return ()


def _untold(count: int) -> Iterator[Problem]:
    if count > 0:
        yield Problem(line=0, key="", message=f"and {count} more; correct these first")


def _refused(source: str, message: str) -> SettingsError:
    return SettingsError(source, (Problem(line=0, key="", message=message),))


def _parse_yaml(text: str, source: str) -> tuple[yaml.Node | None, dict[str, Any]]:
    try:
        node, data = _composed(text)
    except yaml.YAMLError as error:
        message = f"not valid YAML: {_words(error)}"
        raise SettingsError(source, (Problem(line=_line_in(text, error), key="", message=message),)) from None
    if not isinstance(data, dict):
        raise SettingsError(source, (Problem(line=1, key="", message="the top level must be 'key: value' sections"),))
    return node, data


def _composed(text: str) -> tuple[yaml.Node | None, Any]:
    loader = PlainLoader(text)
    try:
        node = loader.get_single_node()
        return node, loader.construct_document(node) if node is not None else {}
    finally:
        loader.dispose()


def _words(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return f"the character U+{error.character:04X} cannot stand in a text file; remove it"
    problem = str(getattr(error, "problem", None) or error)
    return problem + "; indent with blanks, tabs are not accepted" * ("'\\t'" in problem)


def _line_in(text: str, error: yaml.YAMLError) -> int:
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else 0


def _explain(detail: ErrorDetails, node: yaml.Node | None) -> Problem:
    location = detail["loc"]
    return Problem(line=line_of(node, location), key=_key(location), message=_message(detail))


def _spanning(misfit: Misfit, node: yaml.Node | None) -> Problem:
    line, *more = lines_of(node, misfit.keys) or (0,)
    key, _, message = misfit.message.partition(": ")
    return Problem(line=line, key=key, message=message, more_lines=tuple(more))


def _key(location: Location) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".")


def _message(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return _unknown_key(detail["loc"])
    if detail["type"] == "missing":
        return "is missing; add it"
    rule = detail["msg"].removeprefix("Value error, ")
    value = detail["input"]
    if isinstance(value, dict | list | tuple | BaseModel) or detail["loc"][-1:] in SECRETIVE:
        return rule
    return f"value {_shown(value)} is not accepted: {rule}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_VALUE_LENGTH else text[:SHOWN_VALUE_LENGTH] + "..."


def _unknown_key(location: Location) -> str:
    known = sorted(_known_keys(location[:-1]))
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"unknown key; {hint}known here: {', '.join(known)}"


def _known_keys(section: Location) -> set[str]:
    model: type[BaseModel] = Settings
    for part in section:
        found = _model_below(model, part) if isinstance(part, str) else model
        model = found or model
    return {field.alias or name for name, field in model.model_fields.items()}


def _model_below(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return next(_models_in(field.annotation), None)
    return None


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)
