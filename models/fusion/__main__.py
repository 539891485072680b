# SPDX-License-Identifier: Apache-2.0
"""Fuses image features, clinical and pathology columns into one score and says which inputs matter (research only)."""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from models.fusion.attributes import ATTRIBUTES, PATIENT, STUDY, attribute_rows
from models.fusion.contract import write_fusion
from models.fusion.table import Roles, join, make_table, read_rows
from models.fusion.training import Plan, Trained, train
from service.domain.errors import DokueiError

_SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; exit status 2 on bad input."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (DokueiError, ValueError, OSError) as error:
        sys.stderr.write(f"{options.name}: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.fusion", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    attributes = commands.add_parser(
        "attributes", help=f"write {', '.join(ATTRIBUTES)} of DICOM studies as a CSV file, a row for each study"
    )
    attributes.add_argument("folder", type=Path, help="folder of DICOM files")
    attributes.add_argument("--out", type=Path, required=True, help="the CSV file to write; it holds Patient IDs")
    attributes.set_defaults(command=_attributes)
    trainer = commands.add_parser("train", help="train on a table, a row for each study")
    trainer.add_argument("table", type=Path, help="CSV file with a header; empty cells are missing values")
    trainer.add_argument("--target", required=True, help="column to predict, 0 or 1")
    trainer.add_argument("--join", type=Path, action="append", default=[], help="CSV file of more columns; repeatable")
    trainer.add_argument("--key", default=STUDY, help=f"column by which files are joined ({STUDY})")
    trainer.add_argument("--patient", default=PATIENT, help=f"column of the patient ({PATIENT})")
    trainer.add_argument("--leave-out", nargs="+", default=[], metavar="COLUMN", help="columns that are no inputs")
    trainer.add_argument("--as-words", nargs="+", default=[], metavar="COLUMN", help="columns of codes, not numbers")
    trainer.add_argument("--hidden", type=int, default=0, help="units of a hidden layer (0: a weighted sum)")
    trainer.add_argument("--seed", type=int, default=0, help="seed of split, folds, half-samples and bootstrap (0)")
    trainer.add_argument("--half-samples", type=int, default=50, help="of the stability selection (50)")
    trainer.add_argument("--out", type=Path, required=True, help="folder for the fusion package")
    trainer.set_defaults(command=_train)
    return parser


def _attributes(options: argparse.Namespace) -> None:
    rows = attribute_rows(options.folder)
    if not rows:
        raise ValueError(f"{options.folder}: no DICOM files there")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=(STUDY, PATIENT, *ATTRIBUTES))
        writer.writeheader()
        writer.writerows(rows)
    sys.stdout.write(f"{options.out}: {len(rows)} studies\n")


def _train(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)  # small tensors gain nothing from more, and one thread adds up in one order
    if options.hidden < 0 or options.half_samples < 1:
        raise ValueError("--hidden must be at least 0 and --half-samples at least 1")
    rows = read_rows(options.table)
    for path in options.join:
        rows = join(rows, read_rows(path), key=options.key, where=str(path))
    roles = Roles(
        target=options.target,
        patient=options.patient,
        study=options.key,
        left_out=frozenset(options.leave_out),
        as_words=frozenset(options.as_words),
    )
    plan = Plan(hidden=options.hidden, seed=options.seed, half_samples=options.half_samples)
    trained = train(make_table(rows, roles), plan, progress=_tell)
    contract = write_fusion(options.out, trained, plan, target=options.target)
    sys.stdout.write(_summary(trained))
    sys.stdout.write(f"{options.out}: {contract['notice']}\n")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _summary(trained: Trained) -> str:
    lines = [f"warning: {warning}" for warning in trained.warnings]
    lines += [f"AUC, held-out patients: {trained.auc}", f"AUC, training patients: {trained.training_auc}"]
    importance, frequency = trained.importance, trained.stability.frequency
    order = sorted(range(len(importance)), key=lambda index: (-importance[index], -frequency[index]))
    for index in order[:_SHOWN]:
        name = trained.preparation.inputs[index].name
        lines.append(f"{name}: importance {importance[index]:.4f}, selected in {frequency[index]:.0%} of half-samples")
    bound = trained.stability.false_bound
    lines.append(f"{int(trained.stability.stable.sum())} stable inputs; at most {bound:.1f} of them expected by chance")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
