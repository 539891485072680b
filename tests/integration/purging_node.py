# SPDX-License-Identifier: Apache-2.0
"""Deletes what is due in a data folder once, with the settings of a config.yaml: the program that tests kill."""

import sys
from pathlib import Path

from service.bootstrap.desk import open_desk
from service.settings import load_settings
from service.workflow.retention import Retention

if __name__ == "__main__":
    with open_desk(load_settings(Path(sys.argv[1]))) as parts:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        Retention(parts)()
