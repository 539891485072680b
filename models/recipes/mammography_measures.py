# SPDX-License-Identifier: Apache-2.0
"""Measures the graphs of mammography on phantoms that no fit draws: for thresholds, curves and the model card."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from torch import nn

from models.calibration.rejection import Rejection
from models.networks.distortion_detector import DistortionDetectorGraph
from models.recipes.mammography_calibration import (
    exam_calibration,
    exam_sets,
    mark_calibration,
    noisy,
    output_names,
    refused,
    view_limits,
)
from models.recipes.mammography_data import Sample, draw_samples
from models.recipes.mammography_distortions import DistortionsMeasured, measure_distortions
from models.recipes.mammography_evaluation import Evaluation, evaluate
from models.recipes.mammography_fine import MEASURED, MEASURED_COUNTS, FineSample, draw_fine
from models.recipes.mammography_fine_evaluation import FineEvaluation, FineGraphs, evaluate_fine
from models.recipes.mammography_fine_training import fine_settings
from models.recipes.mammography_recipe import MammographyRecipe
from service.domain.reliability import Reliability, ScoreCalibration


@dataclass(frozen=True, slots=True, kw_only=True)
class FineMeasured:
    """What the graphs at 0.1 mm do on phantoms that the fit has not seen: tuning for the threshold, others to tell."""

    tuning: FineEvaluation
    inside: FineEvaluation
    shifted: FineEvaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamsMeasured:
    """What a package's whole score does on phantoms that the fit has not seen, whatever graphs it comes from."""

    tuning: Evaluation
    inside: Evaluation
    shifted: Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Graphs beside the detector."""

    distortions: DistortionDetectorGraph | None = None
    fine: FineGraphs | None = None


NOTHING = Beside()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What phantoms that the fit has not seen say: tuning for thresholds and curves, the others for the model card.

    `exams` is what there is at 0.1 mm, where there are finer graphs: scores of views, breasts and exams are then of
    both detectors.
    """

    tuning: Evaluation
    inside: Evaluation
    shifted: Evaluation
    reliability: Reliability
    refusals: tuple[Rejection, ...]
    distortions: DistortionsMeasured | None = None
    fine: FineMeasured | None = None

    @property
    def exams(self) -> ExamsMeasured:
        """What is said of views, breasts and exams."""
        if self.fine is None:
            return ExamsMeasured(tuning=self.tuning, inside=self.inside, shifted=self.shifted)
        fine = self.fine
        return ExamsMeasured(tuning=fine.tuning.views, inside=fine.inside.views, shifted=fine.shifted.views)


def measure(
    graph: nn.Module, validation: Sequence[Sample], recipe: MammographyRecipe, beside: Beside = NOTHING
) -> Measured:
    """Measure the graphs on phantoms that no fit draws.

    `validation` are views of training's exams that were kept out of the fit: with usual ones they set the limits.
    """
    held_out, names, level = recipe.held_out, output_names(graph), recipe.calibration.conformal_level
    usual = draw_samples(90_000, held_out.exams // 2)
    further = draw_samples(90_500, held_out.exams // 2, shift=held_out.scanner_spread)
    views = draw_samples(91_000, held_out.exams)
    read = partial(evaluate, graph, names=names, distortions=beside.distortions)
    tuning, inside = read([*usual, *further]), read(views)
    shifted = read(draw_samples(92_000, held_out.exams, shift=held_out.scanner_spread))
    found = view_limits(evaluate(graph, [*usual, *validation], names=names)) if recipe.calibration.distances else ()
    strands = None if beside.distortions is None else measure_distortions(beside.distortions, recipe)
    finer = None if beside.fine is None else _measured_fine(graph, beside, beside.fine, recipe)
    exams = tuning if finer is None else finer.tuning.views
    return Measured(
        tuning=tuning,
        inside=inside,
        shifted=shifted,
        reliability=Reliability(
            calibration=_curves(tuning, exams, strands, finer) if recipe.calibration.scores else (),
            conformal=exam_sets(exams, level=level) if level is not None else (),
            out_of_distribution=found,
        ),
        refusals=refused(inside, shifted, evaluate(graph, noisy(views[::4]), names=names), found),
        distortions=strands,
        fine=finer,
    )


def _curves(
    tuning: Evaluation, exams: Evaluation, distortions: DistortionsMeasured | None, fine: FineMeasured | None
) -> tuple[ScoreCalibration, ...]:
    strands = [] if distortions is None else [mark_calibration([distortions.tuning], target="distortion")]
    clusters = [] if fine is None else [mark_calibration([fine.tuning.clusters], target="cluster")]
    return (mark_calibration(tuning.marks.values(), target="mark"), *strands, *clusters, exam_calibration(exams))


def _measured_fine(graph: nn.Module, beside: Beside, fine: FineGraphs, recipe: MammographyRecipe) -> FineMeasured:
    settings, spread, names = fine_settings(recipe), recipe.held_out.scanner_spread, output_names(graph)
    exams, half = settings.held_out, settings.held_out // 2

    def drawn(first_seed: int, count: int, shift: float) -> Iterator[FineSample]:
        return draw_fine(first_seed, count, shift=shift, shares=MEASURED, counts=MEASURED_COUNTS)

    def of(samples: Iterable[FineSample]) -> FineEvaluation:
        return evaluate_fine(graph, fine, samples, settings, names=names, distortions=beside.distortions)

    return FineMeasured(
        tuning=of(chain(drawn(90_000, exams - half, 1.0), drawn(90_500, half, spread))),
        inside=of(drawn(91_000, exams, 1.0)),
        shifted=of(drawn(92_000, exams, spread)),
    )
