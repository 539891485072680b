# SPDX-License-Identifier: Apache-2.0
"""Groups images by their features, chooses which to annotate, and compares clusterings; exit status 2 on bad input."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from models.clustering.comparison import METHODS, Measured, as_table, measure
from models.clustering.datasets import DATASETS
from models.clustering.features import Features, joined, phantom_features, studies_in, study_features
from models.clustering.phenotypes import group, write_phenotypes
from models.clustering.picking import pick
from service.domain.errors import DokueiError
from service.domain.study import Refusal
from service.inference.package import load_package


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (DokueiError, ValueError, OSError) as error:
        sys.stderr.write(f"{options.name}: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.clustering", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    features = commands.add_parser("features", help="compute features of images by a package's graph")
    features.add_argument("package", type=Path, help="folder <name>/<version> of the package")
    source = features.add_mutually_exclusive_group(required=True)
    source.add_argument("--dicom", type=Path, help="folder of DICOM studies, which the package's pipeline accepts")
    source.add_argument("--phantoms", type=int, metavar="N", help="N texture phantoms of each pattern instead")
    features.add_argument("--out", type=Path, required=True, help="the .npz file to write; it holds images")
    features.set_defaults(command=_features)
    _add_phenotypes(commands)
    _add_pick(commands)
    compare = commands.add_parser("compare", help="compare clusterings on sets with known groups")
    compare.add_argument("--sets", nargs="+", choices=DATASETS, default=list(DATASETS), help="which (all)")
    compare.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="which (all)")
    compare.add_argument("--seeds", type=int, default=10, help="how many samples of each set (10)")
    compare.add_argument("--out", type=Path, help="write the figures as JSON here")
    compare.set_defaults(command=_compare)
    return parser


def _add_phenotypes(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("phenotypes", help="group images and show the most typical ones of each group")
    _add_grouping(parser)
    parser.add_argument("--exemplars", type=int, default=8, help="images shown of each group (8)")
    parser.add_argument("--out", type=Path, required=True, help="folder for JSON, CSV and the sheet of exemplars")
    parser.set_defaults(command=_phenotypes)


def _add_pick(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("pick", help="choose diverse and uncertain images for annotation")
    _add_grouping(parser)
    parser.add_argument("--count", type=int, required=True, help="how many images")
    parser.add_argument("--uncertain-share", type=float, default=0.5, help="share of uncertain ones (0.5)")
    parser.add_argument(
        "--labelled", type=Path, help="text file with the numbers of images that have labels, a line each"
    )
    parser.add_argument("--out", type=Path, required=True, help="the CSV file to write")
    parser.set_defaults(command=_pick)


def _add_grouping(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("features", type=Path, help=".npz file of `features`")
    parser.add_argument("--groups", type=int, default=12, help="number of groups (12)")
    parser.add_argument("--beta", type=float, help="of the generator; default 2 / (dimensions + 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the starts (0)")


def _features(options: argparse.Namespace) -> None:
    package = load_package(options.package.resolve(), provider="cpu")
    if options.phantoms is not None:
        found = phantom_features(package, per_pattern=options.phantoms)
    else:
        parts: list[Features] = []
        for instances in tqdm(list(studies_in(options.dicom)), unit="study", disable=None):
            result = study_features(package, instances)
            if isinstance(result, Refusal):
                words = "; ".join(reason.message for reason in result.reasons)
                sys.stderr.write(f"study {instances[0].study_instance_uid}: passed over: {words}\n")
            else:
                parts.append(result)
        if not parts:
            raise ValueError(f"{options.dicom}: no study there that the pipeline analyses; see the messages above")
        found = joined(parts)
    found.check(str(options.out))
    found.save(options.out)
    sys.stdout.write(
        f"{options.out}: {found.values.shape[0]} images, {found.values.shape[1]} features, {found.origin}\n"
    )


def _phenotypes(options: argparse.Namespace) -> None:
    features = Features.load(options.features)
    grouping = group(features, groups=options.groups, beta=options.beta, seed=options.seed)
    told = write_phenotypes(options.out, features, grouping, count=options.exemplars)
    for each in told["phenotypes"]:
        sys.stdout.write(
            f"phenotype {each['phenotype']}: {each['images']} images ({each['share']:.1%}) of {each['cases']} cases, "
            f"mean membership {each['mean_membership']}\n"
        )
    if told["agreement_with_truth"]:
        sys.stdout.write(f"against the phantoms' truth: {told['agreement_with_truth']}\n")
    sys.stdout.write(f"{options.out}: {told['notice']}\n")


def _pick(options: argparse.Namespace) -> None:
    features = Features.load(options.features)
    grouping = group(features, groups=options.groups, beta=options.beta, seed=options.seed)
    labelled = _numbers(options.labelled, most=len(features.values)) if options.labelled else []
    picks = pick(grouping, count=options.count, uncertain_share=options.uncertain_share, labelled=labelled)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "case", "phenotype", "reason", "value"))
        for each in picks:
            case, phenotype = features.cases[each.image], int(grouping.labels[each.image]) + 1
            writer.writerow((each.image, case, phenotype, each.reason, f"{each.value:.4f}"))
        for index in grouping.unusual.tolist():
            score = f"{grouping.scores[index]:.4f}"
            writer.writerow((index, features.cases[index], int(grouping.labels[index]) + 1, "unusual", score))
    sys.stdout.write(
        f"{options.out}: {len(picks)} images to annotate, {len(grouping.unusual)} unusual ones to look at\n"
    )


def _numbers(path: Path, *, most: int) -> list[int]:
    words = path.read_text(encoding="utf-8").split()
    wrong = [word for word in words if not word.isdecimal() or int(word) >= most]
    if wrong:
        raise ValueError(f"{path}: {wrong[0]!r} is no number of an image; they go from 0 to {most - 1}")
    return [int(word) for word in words]


def _compare(options: argparse.Namespace) -> None:
    pairs = [(dataset, method) for dataset in options.sets for method in options.methods]
    measured = []
    for dataset, method in tqdm(pairs, unit="clustering", disable=None):
        measured.append(measure(dataset, method, seeds=range(options.seeds)))
        if options.out:
            _write_figures(options.out, measured)  # after each: the whole takes long
    for index, title in (("rand", "Adjusted Rand index"), ("information", "Normalised mutual information")):
        sys.stdout.write(f"{title}, mean and 95 % interval over {options.seeds} samples\n\n")
        sys.stdout.write(as_table(measured, index=index) + "\n")


def _write_figures(path: Path, measured: Sequence[Measured]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(each) for each in measured], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
