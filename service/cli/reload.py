# SPDX-License-Identifier: Apache-2.0
"""`dokuei reload`: a running node takes over other model packages."""

import os
import signal
from pathlib import Path

from service.bootstrap.packages import configuration_problems
from service.cli.check import REFUSED
from service.cli.console import complain, console, print_json
from service.cli.signals import no_node
from service.domain.errors import ConfigurationError
from service.settings import load_settings
from service.storage.folder import lock_owner


def reload(config: Path, *, as_json: bool) -> int:
    """Check the configuration, and tell the node that uses its data folder to read it again."""
    settings = load_settings(config)
    problems = configuration_problems(settings)
    if problems:
        if as_json:
            print_json({"asked": False, "process": None, "problems": problems})
            return REFUSED
        lines = "\n".join(f"  {problem}" for problem in problems)
        complain(f"{config} has {len(problems)} problem(s), so that nothing was changed:\n{lines}")
        return REFUSED
    process = lock_owner(settings.storage.folder)
    if process is None:
        raise ConfigurationError(no_node(settings.storage, number=signal.SIGHUP))
    os.kill(process, signal.SIGHUP)
    if as_json:
        print_json({"asked": True, "process": process, "problems": []})
        return 0
    console.print(
        f"the node (process {process}) reads its configuration again; the log line 'configuration_reloaded' and "
        "dokuei_config_last_reload_successful say what became of it",
        markup=False,
    )
    return 0
