# SPDX-License-Identifier: Apache-2.0
"""Checks every result object before it leaves: what a validator or a viewer would reject is held back here."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from service.results.lint.every_object import OBJECT_RULES
from service.results.lint.rules import UNKNOWN_TO_DCIODVFY, Rule, rules_of
from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.validators import FOR_EVERY_OBJECT, FOR_REPORTS, Validator, installed, without_broken_lines

MAX_PROGRAMS = 4
"""So many validators run at once at most; the machine has other work."""

Problems = Callable[[], tuple[str, ...]]
"""Waits for an object's validators and returns what is wrong with it; nothing lets it pass."""


class Gate:
    """Checks objects while the next ones are written: the programs run beside this process's own work.

    A context manager; whoever leaves it has all programs ended.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(min(MAX_PROGRAMS, os.cpu_count() or 1), thread_name_prefix="validator")

    def __enter__(self) -> Self:
        self._stack.enter_context(self._pool)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._stack.close()

    def begin(self, path: Path, *, validators: tuple[Validator, ...] | None = None) -> Problems:
        """Apply our own rules and start the programs.

        Parameters
        ----------
        validators
            Programs to run beside our own rules; those that are installed when absent, none when empty.
        """
        try:
            dataset = pydicom.dcmread(path)
        except (InvalidDicomError, *BAD_VALUE_ERRORS) as error:
            unreadable = (f"the file cannot be read back: {error}",)
            return lambda: unreadable
        own = tuple(problem for rule in OBJECT_RULES + rules_of(dataset) for problem in _applied(rule, dataset))
        programs = _validators(dataset) if validators is None else validators
        checked = self._stack.enter_context(without_broken_lines(path)) if programs else path
        running = [self._pool.submit(program, checked) for program in programs]
        return lambda: own + tuple(problem for program in running for problem in program.result())


def check_object(path: Path, *, validators: tuple[Validator, ...] | None = None) -> tuple[str, ...]:
    """Return what is wrong with one result object; `validators` as for `Gate.begin`."""
    with Gate() as gate:
        return gate.begin(path, validators=validators)()


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
