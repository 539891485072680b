# SPDX-License-Identifier: Apache-2.0
"""Builds the wheel so that the same commit gives the same bytes on every machine.

`python -m deploy.wheel FOLDER`
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy import CHECKOUT

FIRST_EPOCH = 315_532_800
"""1980-01-01, the earliest date in a ZIP file: what stands in for the commit's date where there is no history."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the wheel of this checkout."""
    (folder,) = sys.argv[1:] if arguments is None else arguments
    sys.stdout.write(f"{build_wheel(Path(folder))}\n")


def build_wheel(folder: Path, *, checkout: Path = CHECKOUT) -> Path:
    """Build the wheel into a folder that holds no other of this version; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder.resolve())]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(source_date_epoch(checkout))}
    subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True)
    (wheel,) = folder.glob("dokuei-*.whl")
    return wheel


def source_date_epoch(checkout: Path = CHECKOUT) -> int:
    """Return the time that files are dated with, in seconds since 1970: the environment's, else the commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    command = ["git", "-C", str(checkout), "log", "-1", "--format=%ct"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(said.stdout) if said.returncode == 0 else FIRST_EPOCH


if __name__ == "__main__":
    main()
