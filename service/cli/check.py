# SPDX-License-Identifier: Apache-2.0
"""`dokuei check`: is this configuration good, and what does it amount to?"""

from pathlib import Path

import yaml

from service.bootstrap.packages import configuration_problems
from service.cli.console import complain, console, print_json
from service.settings import Settings, SettingsError, load_settings, locate_problems

REFUSED = 2


def check(config: Path, *, as_json: bool) -> int:
    """Print all problems, or the effective settings; return the exit status."""
    try:
        settings = load_settings(config)
    except SettingsError as error:
        return _refuse(config, [str(problem) for problem in error.problems], as_json=as_json)
    problems = configuration_problems(settings)
    if problems:
        located = sorted(locate_problems(problems, config), key=lambda problem: problem.line)
        return _refuse(config, [str(problem) for problem in located], as_json=as_json)
    _accept(config, settings, as_json=as_json)
    return 0


def _refuse(config: Path, problems: list[str], *, as_json: bool) -> int:
    if as_json:
        print_json({"ok": False, "problems": problems})
        return REFUSED
    lines = "\n".join(f"  {problem}" for problem in problems)
    complain(f"{config} has {len(problems)} problem(s):\n{lines}")
    return REFUSED


def _accept(config: Path, settings: Settings, *, as_json: bool) -> None:
    effective = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    if as_json:
        print_json({"ok": True, "settings": effective})
        return
    console.print(f"# {config} is good; effective settings:", markup=False)
    console.print(yaml.safe_dump(effective, sort_keys=False, allow_unicode=True).rstrip(), markup=False)
