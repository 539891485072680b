# SPDX-License-Identifier: Apache-2.0
"""Checks every result object before it leaves: what a validator or a viewer would reject is held back here."""

from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from service.results.lint.every_object import OBJECT_RULES
from service.results.lint.rules import UNKNOWN_TO_DCIODVFY, Rule, rules_of
from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.validators import FOR_EVERY_OBJECT, FOR_REPORTS, Validator, complaints, installed


def check_object(path: Path, *, validators: tuple[Validator, ...] | None = None) -> tuple[str, ...]:
    """Return what is wrong with a result object; an empty tuple lets it pass.

    Parameters
    ----------
    validators
        Programs to run beside our own rules; those that are installed when absent, none when empty.
    """
    try:
        dataset = pydicom.dcmread(path)
    except (InvalidDicomError, *BAD_VALUE_ERRORS) as error:
        return (f"the file cannot be read back: {error}",)
    if validators is None:
        validators = _validators(dataset)
    own = tuple(problem for rule in OBJECT_RULES + rules_of(dataset) for problem in _applied(rule, dataset))
    return own + complaints(path, validators)


def _validators(dataset: Dataset) -> tuple[Validator, ...]:
    """Return the programs that know objects of this kind."""
    is_report = "ContentSequence" in dataset or str(dataset.get("Modality", "")) == "SR"
    is_known = str(dataset.get("SOPClassUID", "")) not in UNKNOWN_TO_DCIODVFY
    return (installed(FOR_EVERY_OBJECT) if is_known else ()) + (installed(FOR_REPORTS) if is_report else ())


def _applied(rule: Rule, dataset: Dataset) -> list[str]:
    """Apply a rule; an object too broken for the rule to be applied is as bad as one that breaks it."""
    try:
        return rule(dataset)
    except (*BAD_VALUE_ERRORS, IndexError) as error:
        return [f"{rule.__name__}: an element that the rule reads is missing or malformed ({error})"]
