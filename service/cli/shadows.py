# SPDX-License-Identifier: Apache-2.0
"""`dokuei shadows`: how shadow packages compare with the active ones."""

from dataclasses import asdict
from pathlib import Path

from service.bootstrap.desk import open_desk
from service.cli.console import console, print_json, print_table
from service.domain.shadow import ShadowSummary
from service.settings import load_settings

COLUMNS = ("pipeline", "shadow", "version", "compared", "disagreed", "failed", "waiting", "score difference", "s")


def shadows(config: Path, *, as_json: bool) -> int:
    """Print each shadow package over all studies that it has seen."""
    with open_desk(load_settings(config)) as parts, parts.ledger.reading() as view:
        summaries = view.shadows.summaries()
    if as_json:
        print_json([asdict(item) for item in summaries])
    elif summaries:
        print_table("Shadow packages", COLUMNS, [_row(item) for item in summaries])
    else:
        console.print("no shadow package has seen a study")
    return 0


def _row(item: ShadowSummary) -> tuple[str, ...]:
    counts = (item.compared, item.disagreed, item.failed, item.pending)
    difference = "" if item.score_difference is None else f"{item.score_difference:.4f}"
    seconds = "" if item.seconds is None else f"{item.seconds:.1f}"
    return (item.pipeline, item.package, item.version, *map(str, counts), difference, seconds)
