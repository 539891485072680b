# SPDX-License-Identifier: Apache-2.0
"""Measures what report 001 told, on phantoms or on a site's films, with its confounding made visible."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from models.data.site import load_site, without_duplicates
from models.experiments.report001.cells import Cell, Design, table_cells
from models.experiments.report001.measuring import Collection
from models.experiments.report001.phantom_sites import Plan, phantom_sets, planned
from models.experiments.report001.run import PARTS, Experiment, run, steps_of
from models.experiments.report001.site_films import site_films
from models.generative.wgan import GanPlan
from service.domain.errors import DokueiError
from service.inference.package import LoadedPackage, default_packages_folder, find_packages, load_package

_FULL = ("vgg16", "resnet50")
_QUICK_FILMS = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment named on the command line; finished cells in --out are not measured again."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        package = load_package(options.package or _demo_package(), provider="cpu")
        films = _films(options, package)
        experiment = _experiment(options)
        with tqdm(total=steps_of(experiment, films), unit="training", disable=options.quiet) as bar:
            written = run(experiment, films, options.out, step=bar.update)
    except (DokueiError, ValueError, OSError) as error:
        sys.stderr.write(f"report001: {error}\n")
        return 2
    sys.stdout.write(written[-1].read_text("utf-8"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.experiments.report001", description=__doc__)
    parser.add_argument("--data", required=True, help="phantoms, or the SITE.yaml of a folder of films with labels")
    parser.add_argument("--out", type=Path, required=True, help="folder of finished cells, tables and pages")
    parser.add_argument("--quick", action="store_true", help="a tenth of the films, four cells, two epochs: a trial")
    parser.add_argument("--full", action="store_true", help="VGG16 and ResNet50 as published, at 224 pixels: a GPU")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is measured (all)")
    parser.add_argument("--size", type=int, default=80, help="pixels along a film's side (80); 224 is the report's")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--arm-epochs", type=float, default=2.0, help="of the patch networks of the arms (2)")
    parser.add_argument("--gan-steps", type=int, default=300, help="of the generator (300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="torch device; another one changes the last digits")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; likewise")
    parser.add_argument("--weights", action="append", default=[], metavar="NETWORK=FILE", help="ImageNet weights")
    parser.add_argument("--package", type=Path, help="package whose network finds the lungs (the demonstration's)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _demo_package() -> Path:
    """Return the newest demonstration that is there."""
    return [path for path in find_packages(default_packages_folder()) if path.parent.name == "pneumoconiosis-demo"][-1]


def _films(options: argparse.Namespace, package: LoadedPackage) -> Collection:
    if options.data != "phantoms":
        return _site(options, package)
    plan = Plan(share=0.1 if options.quick else 1.0)
    with tqdm(total=2 * len(planned(plan)), unit="film", disable=options.quiet) as bar:
        collected, shuffled = phantom_sets(options.out / "films", plan, package=package, step=bar.update)
    return Collection(name=f"phantoms {plan}", collected=collected, shuffled=shuffled)


def _site(options: argparse.Namespace, package: LoadedPackage) -> Collection:
    path = Path(options.data)
    if not path.is_file():
        raise ValueError(f"--data is {options.data!r}; it is 'phantoms', or a SITE.yaml that is there")
    data = without_duplicates(load_site(path))
    sys.stderr.write(data.summary() + "\n")
    images = data.images[: _QUICK_FILMS if options.quick else None]
    with tqdm(total=len(images), unit="film", disable=options.quiet) as bar:
        films = site_films(options.out / "films", images, package=package, step=bar.update)
    return Collection(name=f"site {data.name}", collected=films)


def _experiment(options: argparse.Namespace) -> Experiment:
    design = Design(
        size=224 if options.full else options.size,
        epochs=2 if options.quick else options.epochs,
        folds=2 if options.quick else options.folds,
        seed=options.seed,
        device=options.device,
        weights=dict(pair.split("=", 1) for pair in options.weights),
    )
    if options.full:
        design = replace(design, networks=_FULL, learning_rate=1e-4)
    if not options.quick:
        return Experiment(
            design=design,
            cells=table_cells(design.networks),
            arm_epochs=options.arm_epochs,
            gan=GanPlan(steps=options.gan_steps),
            parts=tuple(options.parts),
        )
    cells = tuple(
        Cell(network=network, masked=masked, wavelet="haar", band="cD")
        for network in design.networks
        for masked in (True, False)
    )
    gan = GanPlan(steps=4, keep_every=2)
    return Experiment(design=design, cells=cells, arm_epochs=1, gan=gan, parts=tuple(options.parts))


if __name__ == "__main__":
    sys.exit(main())
