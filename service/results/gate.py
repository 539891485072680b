# SPDX-License-Identifier: Apache-2.0
"""Checks every result object before it leaves: what a validator or a viewer would reject is held back here."""

from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from service.results.lint_image import IMAGE_RULES
from service.results.lint_object import OBJECT_RULES
from service.results.lint_rejection import REJECTION_RULES, is_rejection_note
from service.results.lint_report import REPORT_RULES
from service.results.sources import BAD_VALUE_ERRORS
from service.results.validators import FOR_EVERY_OBJECT, FOR_REPORTS, Validator, complaints, installed

Rule = Callable[[Dataset], list[str]]


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
        validators = installed(FOR_EVERY_OBJECT) + (installed(FOR_REPORTS) if _is_report(dataset) else ())
    own = tuple(problem for rule in _rules(dataset) for problem in _applied(rule, dataset))
    return own + complaints(path, validators)


def _is_report(dataset: Dataset) -> bool:
    return "ContentSequence" in dataset or str(dataset.get("Modality", "")) == "SR"


def _rules(dataset: Dataset) -> tuple[Rule, ...]:
    if is_rejection_note(dataset):
        return OBJECT_RULES + REJECTION_RULES
    return OBJECT_RULES + (REPORT_RULES if _is_report(dataset) else IMAGE_RULES)


def _applied(rule: Rule, dataset: Dataset) -> list[str]:
    """Apply a rule; an object too broken for the rule to be applied is as bad as one that breaks it."""
    try:
        return rule(dataset)
    except (*BAD_VALUE_ERRORS, IndexError) as error:
        return [f"{rule.__name__}: an element that the rule reads is missing or malformed ({error})"]
