# SPDX-License-Identifier: Apache-2.0
"""Reads recipe files: plain YAML, every problem named with its key, value and rule, unknown keys with the known ones.

A file may hold the section `effort`: by name, changes that are laid over the rest when that effort is asked for.
"""

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from service.domain.errors import PackageError
from service.inference.strict_yaml import yaml_to_json

EFFORT = "effort"
_SHOWN_LENGTH = 60
Location = tuple[int | str, ...]
R = TypeVar("R", bound=BaseModel)


class RecipeError(ValueError):
    """A recipe file that cannot be used; the message holds every reason."""


def read_document(path: Path, *, effort: str | None = None) -> dict[str, Any]:
    """Return what the file says, as JSON types, with the changes of an effort laid over it.

    Raises
    ------
    RecipeError
        The file cannot be read, is not plain YAML, or has no such effort.
    """
    try:
        document = json.loads(yaml_to_json(path.read_bytes(), where=str(path)))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); give a recipe file") from None
    except PackageError as error:
        raise RecipeError(str(error).replace("correct or re-install the package", "correct the file")) from None
    efforts = document.pop(EFFORT, {}) if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(efforts, dict):
        raise RecipeError(f"{path}: the file and its section {EFFORT} must be sections of 'key: value'")
    if effort is None:
        return document
    if effort not in efforts:
        known = ", ".join(efforts) or "none"
        raise RecipeError(f"{path}: {EFFORT}.{effort} is missing (there: {known}); add it to the file")
    return laid_over(document, efforts[effort])


def laid_over(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with the changes: sections merge key by key, anything else is replaced."""
    merged = dict(document)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def parse_recipe(document: Mapping[str, Any], model: type[R], *, source: str) -> R:
    """Check a document against the recipe of its pipeline.

    Raises
    ------
    RecipeError
        With every problem of the document.
    """
    try:
        return model.model_validate_json(json.dumps(document))
    except ValidationError as error:
        problems = [_explain(detail, model) for detail in error.errors(include_url=False)]
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise RecipeError(f"{source} has {len(problems)} problem(s):\n{lines}") from None


def digest(recipe: BaseModel) -> str:
    """Return a digest of everything that a recipe says, for `models.training.fit.Places.identity`."""
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    location = detail["loc"]
    return f"{_key(location)}: {_message(detail, model)}"


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    if detail["type"] == "extra_forbidden":
        return _unknown_key(detail["loc"], model)
    if detail["type"] == "missing":
        return "is missing; add it"
    rule = detail["msg"].removeprefix("Value error, ")
    if isinstance(detail["input"], dict):
        return rule
    return f"value {json.dumps(detail['input'])[:_SHOWN_LENGTH]} is not accepted: {rule}; change it"


def _key(location: Location) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".") or "the recipe"


def _unknown_key(location: Location, model: type[BaseModel]) -> str:
    known = sorted(_section(model, location[:-1]).model_fields)
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else "remove it; "
    return f"unknown key; {hint}known here: {', '.join(known)}"


def _section(model: type[BaseModel], location: Location) -> type[BaseModel]:
    for part in location:
        field = model.model_fields.get(str(part))
        model = next(_models_in(field.annotation), model) if field else model
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)
