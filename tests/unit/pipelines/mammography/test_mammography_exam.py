# SPDX-License-Identifier: Apache-2.0
"""Four views read as one exam: pairs of marks, sides, sectors, and what has changed since an older exam."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from mammography_instances import BrightestSpot, from_file

from models.phantoms.dicom import PhantomStudy
from models.phantoms.mammogram.breast import Lesion, random_breast
from models.phantoms.mammogram.files import StoredAs, write_mg_view
from models.phantoms.mammogram.view import draw_view
from service.domain.prior import Prior
from service.domain.result import FeatureRelation, Outcome, PackageIdentity, PipelineResult
from service.domain.study import Selection
from service.pipelines.mammography import MammographyPipeline
from service.pipelines.mammography.sectors import halves_of, sector_shares
from service.pipelines.mammography.sides import band_of
from service.pipelines.mammography.views import order_of

PIPELINE = MammographyPipeline()
UPPER_OUTER = Lesion(depth_mm=42, lateral_mm=16, superior_mm=18, radius_mm=8, density_per_cm=3.0, seed=1)
LOWER_INNER = replace(UPPER_OUTER, lateral_mm=-16, superior_mm=-18)


def write(folder: Path, side, view, lesion: Lesion, stored: StoredAs | None = None, *, shift_mm: float = 0.0) -> Path:
    moved = replace(lesion, depth_mm=lesion.depth_mm + shift_mm)
    breast = replace(random_breast(side, 5), lesions=(moved,), gland=0.02, depth_mm=90.0, distractors=0)
    picture = draw_view(breast, view, pitch_mm=0.4)
    path = folder / f"{side}-{view}-{len(list(folder.iterdir()))}.dcm"
    study = PhantomStudy(seed="exam")
    return write_mg_view(path, picture, breast=breast, view=view, study=study, stored=stored or StoredAs()).path


def analyse(paths, package=None, prior: Prior | None = None) -> PipelineResult:
    instances = tuple(sorted((from_file(path) for path in paths), key=order_of))
    return run(Selection(instances=instances, prior=prior), package or BrightestSpot())


def run(selection: Selection, package) -> PipelineResult:
    return PIPELINE.run(selection, package, analysed_at=datetime(2026, 4, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("side", "stored"), [("L", StoredAs()), ("R", StoredAs()), ("R", StoredAs(mirrored=True))], ids=["L", "R", "turned"]
)
@pytest.mark.parametrize(
    ("lesion", "quadrant"),
    [(UPPER_OUTER, "upper outer quadrant"), (LOWER_INNER, "lower inner quadrant")],
    ids=["upper-outer", "lower-inner"],
)
def test_the_marks_of_both_views_are_one_mass_in_its_quadrant(tmp_path, side, stored, lesion, quadrant):
    result = analyse([write(tmp_path, side, view, lesion, stored) for view in ("CC", "MLO")])
    (mass,) = result.composites
    assert mass.relation is FeatureRelation.SPATIAL
    assert mass.members == ("mark-1", "mark-2")
    assert mass.score == pytest.approx(1 - 0.1**2)
    name = {"L": "left", "R": "right"}[side]
    assert mass.label == f"Mass candidate on both views, {name}, {quadrant}"
    (pair,) = result.values["pairs"]
    assert pair["quadrant"] == quadrant
    assert pair["difference_mm"] < 5
    (line,) = [line for line in result.summary if line.startswith("Taken for one")]
    assert line.endswith(f"mm behind the nipple, {quadrant}")


def test_marks_at_other_depths_are_no_pair(tmp_path):
    paths = [write(tmp_path, "L", "CC", UPPER_OUTER), write(tmp_path, "L", "MLO", UPPER_OUTER, shift_mm=-18)]
    result = analyse(paths)
    assert (result.composites, result.values["pairs"]) == ((), [])
    assert len(result.findings) == 2


def test_marks_of_two_breasts_are_no_pair(tmp_path):
    result = analyse([write(tmp_path, "L", "CC", UPPER_OUTER), write(tmp_path, "R", "MLO", UPPER_OUTER)])
    assert result.composites == ()
    assert result.summary[3].startswith("Standard views not read")


def test_two_pictures_of_one_view_make_one_pair(tmp_path):
    paths = [write(tmp_path, "L", view, UPPER_OUTER) for view in ("CC", "CC", "MLO")]
    # the phantom's UIDs follow from study and view: a repeat needs one of its own
    instances = [from_file(path) for path in paths]
    instances[1] = replace(instances[1], sop_instance_uid="2.25.77")
    result = run(Selection(instances=tuple(instances)), BrightestSpot())
    assert len(result.findings) == 3
    assert len(result.composites) == 1


def test_density_and_its_difference_between_the_sides_are_told(tmp_path):
    result = analyse([write(tmp_path, side, "CC", UPPER_OUTER) for side in ("L", "R")])
    density = result.values["density"]
    assert set(density) == {"L", "R"}
    (line,) = [line for line in result.summary if line.startswith("Dense area, measured")]
    assert line.startswith(f"Dense area, measured: right {100 * density['R']:.0f} % ({band_of(density['R'])})")
    expected = 100 * (result.values["views"][0]["dense_share"] - result.values["views"][1]["dense_share"])
    assert result.values["density_asymmetry_points"] == {"CC": pytest.approx(expected, abs=0.02)}


@pytest.mark.parametrize(
    ("share", "band"), [(0, "a"), (0.2499, "a"), (0.25, "b"), (0.5, "c"), (0.7499, "c"), (0.75, "d"), (1, "d")]
)
def test_bands_are_quarters_of_the_area(share, band):
    assert band_of(share) == band


class SumOfDetail(BrightestSpot):
    """A score that follows from how much detail the four quarters of the canvas hold, with known weights."""

    weights = np.array([[0.8, 0.4], [-0.5, 0.1]])

    def run(self, graph, inputs):
        assert graph == "detector"
        detail = [
            [float(np.abs(np.diff(part, axis=0)).sum()) for part in _quarters(image[0])] for image in inputs["image"]
        ]
        logits = np.array(detail) @ self.weights.ravel() / 50
        return {"image_logit": logits.astype(np.float32)}


def _quarters(plane):
    """In the order of the sectors: upper front, upper back, lower front, lower back."""
    return plane[:352, 200:], plane[:352, :200], plane[352:, 200:], plane[352:, :200]


def test_shares_of_sectors_add_up_and_go_to_the_right_sector():
    rng = np.random.default_rng(0)
    tensor = np.zeros((2, 704, 448), np.float32)
    tensor[1, 100:600, :400] = 1
    tensor[0] = tensor[1] * 0.5
    tensor[0, 150:200, 300:350] += rng.normal(0, 0.02, (50, 50)).astype(np.float32)  # upper front alone has detail
    found = sector_shares(
        tensor, (400.0, 352.0), SumOfDetail(), graph="detector", spacing_mm=0.4, halves=("upper", "lower")
    )
    assert sum(found.by_sector.values()) == pytest.approx(found.score - found.baseline, abs=1e-9)
    assert max(found.by_sector, key=found.by_sector.__getitem__) == "upper front"
    assert found.residual < 1e-9
    others = [value for name, value in found.by_sector.items() if name != "upper front"]
    assert max(map(abs, others)) < 0.01 * found.by_sector["upper front"]


def test_halves_are_named_as_the_rows_run():
    assert halves_of("CC", rows_run_down=True) == ("outer", "inner")
    assert halves_of("CC", rows_run_down=False) == ("inner", "outer")
    assert halves_of("MLO", rows_run_down=True) == ("upper", "lower")
    assert halves_of("MLO", rows_run_down=None) == ("first half", "second half")


def test_a_view_with_marks_is_explained_and_its_map_compared_with_them(tmp_path):
    result = analyse([write(tmp_path, "L", "CC", UPPER_OUTER)])
    (view,) = result.values["views"]
    assert {"share_outer_front", "share_inner_back", "share_baseline"} <= set(view)
    assert view["map_share_in_marks"] > 0.5
    (heatmap,) = result.heatmaps
    assert heatmap.lines[2] == f"Share of the map within the marks: {100 * view['map_share_in_marks']:.0f} %"
    assert heatmap.lines[3].startswith("Shares of the view score (exact Shapley): ")


class Silent(BrightestSpot):
    """Marks nothing above the display threshold, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def run(self, graph, inputs):
        self.asked += len(inputs["image"])
        outputs = super().run(graph, inputs)
        outputs["marks"][..., 4] *= 0.1
        return outputs


def test_a_view_without_marks_costs_no_explanation(tmp_path):
    package = Silent()
    result = analyse([write(tmp_path, "L", "CC", UPPER_OUTER)], package)
    assert result.outcome is Outcome.NO_FINDINGS
    assert package.asked == 1
    assert len(result.heatmaps[0].lines) == 2


def prior_of(values, *, sha256: str = "0" * 64) -> Prior:
    package = PackageIdentity(name="spot", version="0", sha256=sha256, status=BrightestSpot.identity.status)
    return Prior(
        study_instance_uid="2.25.9", study_date="20250302", package=package, outcome=Outcome.FINDINGS, values=values
    )


def test_what_has_changed_since_the_prior_exam_is_told(tmp_path):
    prior = prior_of({"exam": 0.4, "breasts": {"L": 0.4, "R": 0.1}, "density": {"L": 0.5}})
    result = analyse([write(tmp_path, "L", "CC", UPPER_OUTER)], prior=prior)
    now = result.values["exam"]
    assert f"Since 2025-03-02: exam score 0.40 to {now:.2f}; breasts: left 0.40 to {now:.2f}" in result.summary
    assert result.values["change_exam"] == pytest.approx(now - 0.4, abs=1e-6)
    assert result.values["change_breasts"] == {"L": pytest.approx(now - 0.4, abs=1e-6)}
    assert set(result.values["change_density"]) == {"L"}
    assert "prior_of_other_package" not in {flag.code for flag in result.flags}


def test_a_prior_of_another_package_is_flagged(tmp_path):
    result = analyse([write(tmp_path, "L", "CC", UPPER_OUTER)], prior=prior_of({"exam": 0.4}, sha256="1" * 64))
    assert "prior_of_other_package" in {flag.code for flag in result.flags}
    assert result.outcome is Outcome.FINDINGS


@pytest.mark.parametrize("values", [{}, {"exam": "0.4"}, {"exam": True}, {"exam": float("nan")}])
def test_a_prior_without_a_score_is_said_and_nothing_compared(tmp_path, values):
    result = analyse([write(tmp_path, "L", "CC", UPPER_OUTER)], prior=prior_of(values))
    assert "The result of 2025-03-02 holds no exam score to compare with." in result.summary
    assert "change_exam" not in result.values
