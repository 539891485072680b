# SPDX-License-Identifier: Apache-2.0
"""Recipes of public sets: who holds them, on what terms, how they lie on disk, and how their labels become ours."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.data.problem import DataError

RECIPES = Path(__file__).resolve().parents[1] / "recipes" / "public"
Permission = Literal["yes", "no", "unknown"]
Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Licence(_Strict):
    """The terms in short; `verified` only where we have read them ourselves, and the holder's page decides always."""

    summary: Text
    terms: Annotated[str, Field(pattern=r"^https?://")]
    research: Permission
    commercial: Permission
    redistribution: Permission
    verified: bool
    checked: str = ""

    @model_validator(mode="after")
    def _says_how(self) -> "Licence":
        if self.verified and not self.checked:
            raise ValueError("a verified licence says in `checked` what was read")
        return self


class PixelSize(_Strict):
    """Where the pixel size of pictures comes from.

    `header`: DICOM says it. `fixed`: `mm`. `column`: that of the original in `column`, times `original` / the size of
    the file. `unknown`: nowhere, and what needs mm (zones, patches, opacities by size) cannot use the set.
    """

    rule: Literal["header", "fixed", "column", "unknown"]
    mm: Annotated[float, Field(gt=0)] | None = None
    column: str = ""
    original: str = ""

    @model_validator(mode="after")
    def _complete(self) -> "PixelSize":
        if (self.rule == "fixed") != (self.mm is not None):
            raise ValueError("rule fixed needs mm, and no other rule has it")
        if (self.rule == "column") != bool(self.column and self.original):
            raise ValueError("rule column needs column and original, and no other rule has them")
        return self


class Target(_Strict):
    """Which of the set's words make an image positive or negative.

    Without `negative` everything that is not positive is negative, and the other way round; with both, an image that
    has neither is excluded, and says so.
    """

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _decides(self) -> "Target":
        if not self.positive and not self.negative:
            raise ValueError("a target names positive words, negative words, or both")
        return self


class Table(_Strict):
    """A table of the set and its columns: `file` is a template of columns in braces, relative to the folder."""

    glob: Text
    delimiter: str = ","
    file: Text
    patient: Text
    label: Text
    separator: str = ""
    view: str = ""
    laterality: str = ""
    manufacturer: str = ""
    split: str = ""
    splits: Mapping[str, Literal["train", "tuning", "test"]] = Field(default_factory=dict)


class Names(_Strict):
    """Labels in file names: a pattern with the groups `patient` and `label` that the whole path must fit."""

    glob: Text
    pattern: Text

    @model_validator(mode="after")
    def _groups(self) -> "Names":
        if not {"patient", "label"} <= set(re.compile(self.pattern).groupindex):
            raise ValueError("the pattern needs the groups patient and label")
        return self


class Recipe(_Strict):
    """One public set.

    `mapping_verified` says whether the mapping was tried on files of the set. Where `labels` is absent, `no_labels`
    says why and what to do.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    title: Text
    homepage: Annotated[str, Field(pattern=r"^https?://")]
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    licence: Licence
    access: Text
    layout: Text
    pixel_size: PixelSize
    tables: tuple[Table, ...] = ()
    names: Names | None = None
    targets: Mapping[str, Target] = Field(default_factory=dict)
    no_labels: str = ""
    mapping_verified: bool
    sha256sums: str = ""
    notes: str = ""

    @property
    def converts(self) -> bool:
        """Whether its labels can be written in our form."""
        return bool(self.tables or self.names)

    @model_validator(mode="after")
    def _whole(self) -> "Recipe":
        if bool(self.targets) != self.converts:
            raise ValueError("targets go with tables or names")
        if self.converts == bool(self.no_labels):
            raise ValueError("either tables or names, or no_labels, which says why there are none")
        if self.mapping_verified and not self.converts:
            raise ValueError("there is no mapping that could be verified")
        return self


def load_recipe(name: str, *, folder: Path = RECIPES) -> Recipe:
    """Return the recipe of a set.

    Raises
    ------
    DataError
        There is none of this name (the known ones are listed), or it does not fit.
    """
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in known:
        raise DataError(f"there is no recipe {name!r}; known are {', '.join(known)}")
    try:
        recipe = Recipe.model_validate(yaml.safe_load(known[name].read_text("utf-8")))
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise DataError(f"{known[name].name}: {told}") from error
    if recipe.name != name:
        raise DataError(f"{known[name].name}: name is {recipe.name!r}; a recipe is named as its file")
    return recipe


def load_recipes(folder: Path = RECIPES) -> tuple[Recipe, ...]:
    """Return every recipe, by name."""
    return tuple(load_recipe(path.stem, folder=folder) for path in sorted(folder.glob("*.yaml")))
