# SPDX-License-Identifier: Apache-2.0
"""Checks a site's data, lists public sets, records checksums, and writes a public set's labels in our form.

Nothing is downloaded: a public set is got by its user, with an account of their own and on its holder's terms.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from models.data.checksums import compare, digests, parse, record_or_verify
from models.data.prepare import prepare
from models.data.problem import DataError, LabelsError
from models.data.public import RECIPES, Recipe, load_recipe, load_recipes
from models.data.site import load_site, without_duplicates
from models.data.splits import refuse_leakage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; 1 when data are at fault, 2 when the terms are not accepted."""
    options = _parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except (DataError, LabelsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename}: cannot be read or written ({error.strerror}); correct the path\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="join a site's labels with its images and say what is left out and why")
    check.add_argument("site", type=Path, help="SITE.yaml")
    check.add_argument("--all", action="store_true", help="name every image that is left out")
    commands.add_parser("list", help="the public sets that there are recipes for")
    show = commands.add_parser("show", help="a set's terms, access and layout")
    show.add_argument("set")
    sums = commands.add_parser("checksum", help="record a folder's checksums at first use, verify them later")
    sums.add_argument("folder", type=Path)
    sums.add_argument("--sums", type=Path, help="the list, where the folder must not be written to")
    make = commands.add_parser("prepare", help="write a public set's labels in our form")
    make.add_argument("set")
    make.add_argument("--folder", type=Path, required=True, help="where you put the set")
    make.add_argument("--accept-licence", action="store_true", help="you have read the holder's terms and keep them")
    make.add_argument("--target", help="which of the set's targets (its first)")
    make.add_argument("--out", type=Path, help="labels.csv (FOLDER-labels.csv beside it)")
    make.add_argument("--sums", type=Path, help="the list of checksums, where the folder must not be written to")
    return parser


def _check(options: argparse.Namespace) -> int:
    with tqdm(unit="file", desc="headers") as bar:
        data = load_site(options.site, step=bar.update)
    with tqdm(unit="image", desc="pixels", total=len(data.images)) as bar:
        data = without_duplicates(data, step=bar.update)
    sys.stdout.write(data.summary() + "\n")
    if options.all:
        sys.stdout.writelines(f"{out.what}: {out.reason}\n" for out in data.left_out)
    splits = {image.split for image in data.images} - {""}
    refuse_leakage({name: [image for image in data.images if image.split == name] for name in sorted(splits)})
    return 0


def _list(_options: argparse.Namespace) -> int:
    for recipe in load_recipes():
        terms = "terms read" if recipe.licence.verified else "terms NOT verified"
        labels = "labels tried" if recipe.mapping_verified else "labels untried" if recipe.converts else "no labels"
        sys.stdout.write(f"{recipe.name:22} {terms:19} {labels:15} {recipe.title}\n")
    return 0


def _show(options: argparse.Namespace) -> int:
    sys.stdout.write(terms(load_recipe(options.set)))
    return 0


def terms(recipe: Recipe) -> str:
    """Return what a user must know before they use a set."""
    licence = recipe.licence
    told = f"read: {licence.checked}" if licence.verified else "NOT VERIFIED by us: read the holder's page"
    may = ", ".join(f"{what} {getattr(licence, what)}" for what in ("research", "commercial", "redistribution"))
    return (
        f"{recipe.title}\n  homepage  {recipe.homepage}\n  terms     {licence.terms}\n  in short  {licence.summary}\n"
        f"            ({told}; {may})\n  access    {recipe.access.strip()}\n  layout    {recipe.layout.strip()}\n"
        f"  targets   {', '.join(recipe.targets) or recipe.no_labels.strip()}\n"
        + ("" if recipe.mapping_verified or not recipe.converts else "  The label mapping was NOT tried on the set.\n")
    )


def _checksum(options: argparse.Namespace) -> int:
    with tqdm(unit="file") as bar:
        files, written = record_or_verify(options.folder, sums=options.sums, step=bar.update)
    sys.stdout.write(f"{files} files {'recorded' if written else 'are as recorded'}\n")
    return 0


def _prepare(options: argparse.Namespace) -> int:
    recipe = load_recipe(options.set)
    sys.stdout.write(terms(recipe))
    if not options.accept_licence:
        sys.stderr.write(
            f"refused: read {recipe.licence.terms}, and, if you keep these terms, repeat with --accept-licence\n"
        )
        return 2
    _verify(recipe, options)
    prepared = prepare(recipe, options.folder, target=options.target or next(iter(recipe.targets), ""))
    out = options.out or options.folder.with_name(f"{options.folder.name}-labels.csv")
    if out.exists() and not options.out:
        raise DataError(f"{out} is there already; name another file with --out")
    out.write_text(prepared.text, encoding="utf-8")
    sys.stdout.write(
        f"{out}: {prepared.images} images, {prepared.positive} positive, {prepared.excluded} excluded; "
        f"{prepared.absent} labelled images are not in the folder\n"
    )
    return 0


def _verify(recipe: Recipe, options: argparse.Namespace) -> None:
    with tqdm(unit="file", desc="checksums") as bar:
        if not recipe.sha256sums:
            record_or_verify(options.folder, sums=options.sums, step=bar.update)
            return
        listed = parse((RECIPES / recipe.sha256sums).read_text("utf-8"), where=recipe.sha256sums)
        found = {file: digest for file, digest in digests(options.folder, step=bar.update).items() if file in listed}
    differences = compare(listed, found)
    if differences.changed:
        raise DataError(f"{options.folder} is not the published set: {differences}; get these files again")


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "check": _check,
    "list": _list,
    "show": _show,
    "checksum": _checksum,
    "prepare": _prepare,
}

if __name__ == "__main__":
    sys.exit(main())
