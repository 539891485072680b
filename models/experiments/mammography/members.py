# SPDX-License-Identifier: Apache-2.0
"""Members against their ensemble: FROC of each network of a recipe alone, and of their averaged heat maps.

The members are trained as the recipe says, or taken from the checkpoints of a training that has ended. Phantoms are
drawn at 0.4 mm, from seeds that nothing else draws; unseen scanners come first.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.experiments.mammography.__main__ import CONDITIONS, FEWEST, as_row, as_table
from models.experiments.mammography.curves import (
    FALSE_MARKS,
    REPORTED,
    Banded,
    banded,
    has_lesions,
    lesion_sensitivity,
)
from models.experiments.mammography.picture import draw_froc
from models.experiments.mammography.reading import ReadExam
from models.networks.mass_detector import MassDetectorGraph
from models.recipes.mammography import split_exams
from models.recipes.mammography_data import MARKED, Sample, draw_samples
from models.recipes.mammography_evaluation import match_marks
from models.recipes.mammography_recipe import MammographyRecipe
from models.recipes.mammography_training import train
from models.train import read_recipe
from models.training.fit import Places
from models.training.recipe_file import RecipeError, digest
from service.pipelines.mammography.scores import breast_scores, exam_score, sigmoid

FIRST_SEED = 96_000
"""Phantoms from here on are drawn for this measurement alone."""
Graphs = Mapping[str, MassDetectorGraph]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write `members.json`, `members.png` and, to the standard output, the table."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    if options.exams < FEWEST:
        sys.stderr.write(f"members: --exams is {options.exams}; at least {FEWEST}, or the bands say nothing\n")
        return 2
    try:
        _, recipe = read_recipe(options.recipe)
    except RecipeError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not isinstance(recipe, MammographyRecipe) or options.members not in range(2, 5):
        sys.stderr.write(f"members: {options.recipe} with --members {options.members} makes no ensemble; give 2 to 4\n")
        return 2
    if recipe.fit is None:
        sys.stderr.write(f"members: {options.recipe} has no section fit, and trains no members; give another recipe\n")
        return 2
    network = recipe.network.model_copy(update={"members": options.members})
    recipe = recipe.model_copy(update={"network": network})
    graphs = _graphs(recipe, options.checkpoints)
    options.out.mkdir(parents=True, exist_ok=True)
    read = {name: _read(graphs, options.exams, shift=shift) for name, shift in CONDITIONS.items()}
    hardest = read[next(iter(CONDITIONS))]
    drawn = [kind for kind in MARKED if has_lesions(hardest["averaged"][kind])]
    draw_froc(
        {kind: {name: _curve(kinds[kind]) for name, kinds in hardest.items()} for kind in drawn},
        options.out / "members.png",
    )
    rows = list(_rows(read))
    (options.out / "members.json").write_text(json.dumps(rows, indent=1), "utf-8")
    sys.stdout.write(as_table(rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.experiments.mammography.members",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", type=Path, help="recipe file of a mammography package")
    parser.add_argument("--members", type=int, default=2, help="networks to train, whatever the recipe says (2)")
    parser.add_argument(
        "--checkpoints", type=Path, help="folder of the recipe's checkpoints; without it they are trained"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the figure and the numbers")
    parser.add_argument("--exams", type=int, default=60, help="exams of four views for each condition (60)")
    return parser


def _graphs(recipe: MammographyRecipe, checkpoints: Path | None) -> Graphs:
    samples = draw_samples(recipe.seed, recipe.data.exams, shift=recipe.data.scanner_spread)
    fitted, validation = split_exams(samples, recipe)
    places = Places(checkpoints=checkpoints, resume=checkpoints is not None, identity=digest(recipe))
    members = train(fitted, validation, recipe, places=places)
    alone = {f"member {index}": MassDetectorGraph(member).eval() for index, member in enumerate(members, start=1)}
    return {"averaged": MassDetectorGraph(*members).eval(), **alone}


def _read(graphs: Graphs, count: int, *, shift: float) -> dict[str, dict[str, list[ReadExam]]]:
    """Return the exams by network and kind; every network reads the same ones."""
    found: dict[str, dict[str, list[ReadExam]]] = {name: {kind: [] for kind in MARKED} for name in graphs}
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + count), unit="exam", desc=f"scanner spread {shift:g}"):
        samples = draw_samples(seed, 1, shift=shift)
        for name, graph in graphs.items():
            for kind, exam in read_samples(graph, samples).items():
                found[name][kind].append(exam)
    return found


@torch.no_grad()
def read_samples(graph: MassDetectorGraph, samples: Sequence[Sample]) -> dict[str, ReadExam]:
    """Return what a detector says of one exam, by kind; the views of a breast list its lesions in one order."""
    outputs = [graph(torch.from_numpy(sample.image.astype(np.float32))[None]) for sample in samples]
    logits = [sigmoid(float(each[4][0])) for each in outputs]
    scores = [
        (each.breast, str(number), score) for number, (each, score) in enumerate(zip(samples, logits, strict=True))
    ]
    score = exam_score(breast_scores(scores))
    found = {}
    for channel, kind in enumerate(MARKED):
        lesions: dict[tuple[str, int], float] = {}
        false_marks: list[float] = []
        for sample, output in zip(samples, outputs, strict=True):
            rows = output[3][0].numpy()
            best, other = match_marks(rows[rows[:, 5] == channel], sample.of_kind(kind))
            for index, value in enumerate(best):
                lesions[sample.breast, index] = max(value, lesions.get((sample.breast, index), 0.0))
            false_marks += other
        found[str(kind)] = ReadExam(
            lesions=np.array(list(lesions.values())),
            false_marks=np.array(false_marks),
            views=len(samples),
            score=score,
            is_abnormal=any(sample.is_marked for sample in samples),
        )
    return found


def _curve(exams: Sequence[ReadExam]) -> Banded:
    return banded(exams, partial(lesion_sensitivity, false_marks=FALSE_MARKS))


def _rows(read: Mapping[str, Mapping[str, Mapping[str, Sequence[ReadExam]]]]) -> Iterator[dict[str, object]]:
    for condition, networks in read.items():
        for kind in MARKED:
            for allowed in REPORTED if has_lesions(networks["averaged"][kind]) else ():
                for name, kinds in networks.items():
                    lesions = sum(len(exam.lesions) for exam in kinds[kind])
                    found = banded(kinds[kind], partial(lesion_sensitivity, false_marks=np.array([allowed])))
                    title = f"{kind}: sensitivity at {allowed:g} false marks per view, {name}"
                    yield as_row(condition, title, found, lesions)


if __name__ == "__main__":
    sys.exit(main())
