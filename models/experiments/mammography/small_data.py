# SPDX-License-Identifier: Apache-2.0
"""Learning curves: how many cases of its own a site needs, with and without a detector that has learnt from phantoms.

The site is played by phantoms of one strange scanner, a case by one view of one woman. A mass detector is fitted to 10,
30, 100 and 300 cases with the same number of steps, from drawn weights and from those of `mammography_start.npz`, and
measured on other women of the site. Every seed draws other cases and other first weights.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from models.networks.mass_detector import HEAT_STRIDE, MassDetector, MassDetectorGraph
from models.phantoms.mammogram.acquisition import Scanner, random_scanner
from models.phantoms.mammogram.breast import SIDES, VIEWS, random_breast
from models.phantoms.mammogram.view import draw_view
from models.recipes.mammography_data import Sample, sample_of, with_lesions
from models.recipes.mammography_evaluation import kind_marks
from models.recipes.mammography_start import read_start, start_from
from models.recipes.mammography_targets import crops
from models.recipes.mammography_training import mark_loss
from models.training.fit import Places, fit
from models.training.fit_settings import FitSettings
from models.training.random_source import RandomSource

CASES = (10, 30, 100, 300)
START = Path(__file__).parents[2] / "recipes" / "mammography_start.npz"
ARMS: Mapping[str, bool] = {"phantoms first": True, "from nothing": False}
RATE = 0.5
"""False marks per view at which the sensitivity is read."""
_SITE = 97
_TEST_SEED, _SEED = 98_000, 99_000
_BATCH, _CROP_PX = 8, 160
_PEAK_RATE = {True: 0.001, False: 0.003}
_COLOURS = ("#2166ac", "#b2182b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one fit came to: sensitivity for masses at `RATE` false marks per view. No cases: nothing was fitted."""

    arm: str
    cases: int
    seed: int
    steps: int
    sensitivity: float


def site_scanner() -> Scanner:
    """Return the site's scanner: one draw from far beyond those of training."""
    return random_scanner(np.random.default_rng([_SITE, 73]), shift=2.5)


def draw_cases(first_seed: int, count: int, scanner: Scanner) -> list[Sample]:
    """Draw one view of each of `count` women; every second breast bears a mass."""
    found = []
    for seed in range(first_seed, first_seed + count):
        rng = np.random.default_rng([seed, 74])
        side, view = SIDES[int(rng.integers(2))], VIEWS[int(rng.integers(2))]
        breast = with_lesions(random_breast(side, seed), rng, shares={"mass": 1.0})
        found.append(sample_of(f"{seed}-{side}", draw_view(breast, view, scanner=scanner)))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit what the folder lacks, write `small_data.jsonl` and `small_data.png`, and print the table."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "small_data.jsonl"
    rows = list(_rows(path, options))
    draw_curves(rows, options.out / "small_data.png")
    sys.stdout.write(table(rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.experiments.mammography.small_data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the rows and the figure; rows there are kept"
    )
    parser.add_argument("--seeds", type=int, default=3, help="fits for each number of cases and arm (3)")
    parser.add_argument("--steps", type=int, default=150, help="steps of each fit, 8 crops each (150)")
    parser.add_argument("--test", type=int, default=120, help="women that every fit is measured on (120)")
    parser.add_argument("--cases", type=int, nargs="+", default=list(CASES), help="numbers of cases (10 30 100 300)")
    return parser


def _rows(path: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Yield every row that is asked for, and add to the file those that it lacks."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    done = {(row.arm, row.cases, row.seed, row.steps): row for row in (Row(**json.loads(line)) for line in lines)}
    wanted = [
        (arm, cases, seed, 0 if cases == 0 else options.steps)
        for arm, is_started in ARMS.items()
        for cases in ((0, *options.cases) if is_started else options.cases)
        for seed in range(options.seeds if cases else 1)
    ]
    lacking = [each for each in wanted if each not in done]
    scanner = site_scanner()
    test = draw_cases(_TEST_SEED, options.test, scanner) if lacking else []
    own: dict[int, list[Sample]] = {}
    for arm, cases, seed, steps in tqdm(wanted, unit="fit"):
        row = done.get((arm, cases, seed, steps))
        if row is None:
            if seed not in own:  # fewer cases are the first of more
                own[seed] = draw_cases(_SEED + 1000 * seed, max(options.cases), scanner)
            detector = fitted(own[seed][:cases], started=ARMS[arm], seed=seed, steps=steps)
            found = round(sensitivity(detector, test), 4)
            row = Row(arm=arm, cases=cases, seed=seed, steps=steps, sensitivity=found)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(row)) + "\n")
        yield row


def fitted(cases: Sequence[Sample], *, started: bool, seed: int, steps: int) -> MassDetector:
    """Return a mass detector that was fitted to the cases; without cases as it started."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = MassDetector()
    if started:
        views = (torch.from_numpy(each.image.astype(np.float32))[None] for each in cases[:10])
        blank = (torch.rand((1, 2, 64, 64), generator=torch.Generator().manual_seed(1)) for _ in range(not cases))
        start_from(detector, read_start(START), [*views, *blank])
    if not cases:
        return detector.eval()
    settings = FitSettings(
        epochs=max(1, steps // max(1, len(cases) // _BATCH)),
        batch=_BATCH,
        peak_rate=_PEAK_RATE[started],
        weight_decay=0.001,
        warm_up=0.2,
        channels_last=True,
    )

    def loss_of(index: Tensor, random: RandomSource) -> Tensor:
        chosen = [cases[each] for each in index.tolist()]
        batch = crops(chosen, random.numpy, size=_CROP_PX, stride=HEAT_STRIDE)
        return mark_loss(detector.marks(detector.encode(batch.image)), batch)

    fit(
        detector,
        loss_of,
        name=f"{len(cases)} cases",
        count=len(cases),
        settings=settings,
        seed=seed,
        places=Places(progress=False),
    )
    return detector


@torch.no_grad()
def sensitivity(detector: MassDetector, samples: Sequence[Sample]) -> float:
    """Return the share of masses found at `RATE` false marks per view."""
    graph = MassDetectorGraph(detector).eval()
    marks = [graph(torch.from_numpy(each.image.astype(np.float32))[None])[3][0].numpy() for each in samples]
    return kind_marks(marks, [each.masses for each in samples]).sensitivity(false_marks_per_image=RATE)


def _spread(rows: Sequence[Row], arm: str) -> dict[int, tuple[float, float, float]]:
    """Return mean, lowest and highest by number of cases."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if row.arm == arm:
            found.setdefault(row.cases, []).append(row.sensitivity)
    return {cases: (float(np.mean(each)), min(each), max(each)) for cases, each in sorted(found.items())}


def table(rows: Sequence[Row]) -> str:
    """Return the mean of the seeds and their range, by number of cases."""
    spreads = {arm: _spread(rows, arm) for arm in ARMS}
    lines = [f"| cases | {' | '.join(ARMS)} |", "|---|---|---|"]
    for cases in sorted({row.cases for row in rows}):
        cells = [_cell(spreads[arm].get(cases)) for arm in ARMS]
        lines.append(f"| {cases or 'none'} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(spread: tuple[float, float, float] | None) -> str:
    return "" if spread is None else f"{spread[0]:.2f} ({spread[1]:.2f} to {spread[2]:.2f})"


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """Write the figure as PNG: the mean over the seeds and their range; the dotted line is what nothing fitted does."""
    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    for arm, colour in zip(ARMS, _COLOURS, strict=True):
        spread = _spread(rows, arm)
        if 0 in spread:
            axes.axhline(spread.pop(0)[0], color=colour, linestyle=":", linewidth=1)
        numbers = np.array([(cases, *found) for cases, found in spread.items()]).T
        axes.plot(numbers[0], numbers[1], color=colour, marker="o", label=arm)
        axes.fill_between(numbers[0], numbers[2], numbers[3], color=colour, alpha=0.15, linewidth=0)
    axes.set(xscale="log", xlabel="cases of the site, one view each", ylim=(0, 1))
    axes.set_ylabel(f"sensitivity for masses at {RATE:g} false marks per view")
    axes.set_title("Phantoms of one strange scanner; mean and range of the seeds", fontsize=9)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    sys.exit(main())
