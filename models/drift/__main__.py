# SPDX-License-Identifier: Apache-2.0
"""Gives a demonstration package the reference that the node watches drift by.

`python -m models.drift models/packages/NAME/VERSION`: draws phantom studies, runs them through the package's own
pipeline, and writes into its manifest what they came to. A run that is broken off is taken up where it was.
With `--site` the manifest stays as it is: the rows are those that `models.experiments.drift_simulation` draws from.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.drift.reference import STUDIES, add_reference, measure, orders, site_orders
from service.domain.errors import DokueiError


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the manifest."""
    parser = argparse.ArgumentParser(prog="python -m models.drift", description=__doc__)
    parser.add_argument("package", type=Path, metavar="PACKAGE", help="folder of a package, <name>/<version>")
    parser.add_argument("--studies", type=int, default=STUDIES, metavar="N", help=f"phantom studies ({STUDIES})")
    parser.add_argument(
        "--rows", type=Path, metavar="FILE", help="keep what was measured there (build/drift/<name>-<version>.jsonl)"
    )
    parser.add_argument("--site", action="store_true", help="draw what the simulation of sites needs as well")
    options = parser.parse_args(arguments)
    name = f"{options.package.parent.name}-{options.package.name}.jsonl"
    rows_file = options.rows or Path("build/drift") / name
    rows_file.parent.mkdir(parents=True, exist_ok=True)
    try:
        wanted = [*orders(options.studies), *(site_orders() if options.site else ())]
        rows = measure(options.package, rows_file, wanted=wanted, told=_left)
        if not options.site:
            add_reference(options.package, rows)
    except (DokueiError, ValueError) as error:
        sys.stderr.write(f"{options.package}: {error}\n")
        return 1
    sys.stdout.write(f"{options.package}\n")
    return 0


def _left(count: int) -> None:
    sys.stderr.write(f"\r{count} studies left ")


if __name__ == "__main__":
    sys.exit(main())
