# SPDX-License-Identifier: Apache-2.0
"""`dokuei models audit`: hands a package to the workbench, which tries its explanation maps; the node never does."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from service.cli.console import complain

_NEEDED = ("models", "torch", "monai", "onnx")
"""What the workbench runs on; `models` is the checkout's own folder."""


def audit(
    package: Annotated[Path, typer.Argument(metavar="FOLDER", help="The package, <name>/<version>.")],
    against: Annotated[
        list[Path] | None, typer.Option(help="Another member or seed, for repeatability; may be given several times.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Phantoms to draw.")] = 24,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result as JSON here.")] = None,
    *,
    golden: Annotated[bool, typer.Option("--golden", help="Use the golden inputs instead of phantoms.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Write the result into the package and its model card; sign it again.")
    ] = False,
) -> None:
    """Try a package's explanation maps: do they follow weights, score and anatomy, and do they repeat.

    Needs the workbench (a checkout with the extra 'train'). Exit status 0 when nothing failed, 1 when a check did,
    2 when the package could not be audited.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        complain(
            f"dokuei models audit needs the workbench, but there is no {', '.join(missing)}: "
            "install the extra 'train' in a checkout (pip install -e '.[cpu,train]'); a node never needs it"
        )
        raise typer.Exit(2)
    command = [sys.executable, "-m", "models.audit", str(package), "--samples", str(samples)]
    command += [word for other in against or [] for word in ("--against", str(other))]
    command += ["--golden"] * golden + ["--write"] * write + (["--out", str(out)] if out else [])
    raise typer.Exit(subprocess.run(command, check=False).returncode)
