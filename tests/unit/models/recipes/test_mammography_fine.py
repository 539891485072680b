# SPDX-License-Identifier: Apache-2.0
"""The graphs at 0.1 mm: truth lies where it is drawn, crops have their targets, and both networks learn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from torch.nn import functional  # noqa: E402

from models.networks.cluster_detector import ClusterDetectorGraph, GrainUnits  # noqa: E402
from models.phantoms.mammogram.acquisition import Scanner  # noqa: E402
from models.phantoms.mammogram.breast import Lesion, random_breast  # noqa: E402
from models.phantoms.mammogram.view import draw_view  # noqa: E402
from models.recipes import mammography, mammography_fine_package, mammography_measures  # noqa: E402
from models.recipes.mammography_calibration import OUTPUTS, mark_calibration  # noqa: E402
from models.recipes.mammography_data import Sample  # noqa: E402
from models.recipes.mammography_evaluation import KindMarks, area_under_curve  # noqa: E402
from models.recipes.mammography_fine import DETECTOR_MM, FineSample, as_drawn, fine_sample  # noqa: E402
from models.recipes.mammography_fine_evaluation import FineGraphs, evaluate_fine  # noqa: E402
from models.recipes.mammography_fine_package import fine_metrics, fine_sources  # noqa: E402
from models.recipes.mammography_fine_training import (  # noqa: E402
    MarkedPatches,
    fine_settings,
    look_settings,
    train_clusters,
    train_second_look,
)
from models.recipes.mammography_grounds import Ground, detectability, draw_ground, fresh_crops  # noqa: E402
from models.recipes.mammography_recipe import MammographyRecipe  # noqa: E402
from models.recipes.mammography_targets import crops  # noqa: E402
from models.training.fit import FitError, Places  # noqa: E402
from models.training.recipe_file import parse_recipe, read_document  # noqa: E402
from service.domain.image import IDENTITY  # noqa: E402
from service.inference.package import load_package  # noqa: E402
from service.pipelines.mammography.kinds import declared_kinds  # noqa: E402

LESION = Lesion(depth_mm=42, lateral_mm=16, superior_mm=18, radius_mm=8, density_per_cm=3.0, seed=1, calcifications=9)
QUIET = Places(progress=False)
GREY = {"attenuation": 1.7, "edge": 3.0, "fade": 1.0}
RECIPE = Path(__file__).parents[4] / "models" / "recipes" / "mammography_clusters.yaml"


@pytest.fixture(scope="module")
def recipe() -> MammographyRecipe:
    document = read_document(RECIPE)
    document["fine"] |= {"crop_px": 96, "crops_per_view": 30}
    document["fine"]["clusters"] |= {"epochs": 8, "batch": 6, "peak_rate": 0.01}
    document["fine"]["second_look"] = {
        "exams": 1,
        "fit": {"epochs": 10, "batch": 8, "peak_rate": 0.004, "channels_last": True},
        "patch_px": 64,
    }
    document["fine"].pop("scanner_shift")
    return parse_recipe(document, MammographyRecipe, source="test")


def ground(rows: int = 208, columns: int = 192) -> Ground:
    """Return an even breast, 3 cm thick and far from its skin, with the margin of 32 pixels."""
    shape = rows + 64, columns + 64
    planes = {name: np.full(shape, value, np.float16) for name, value in GREY.items()}
    full = np.ones(shape, np.bool_)
    return Ground(**planes, mask=full, deep=full, thickest=3.0)


def specks(seed: int, *, bears: bool) -> FineSample:
    """Return a grey picture with a cluster of white pixels in its middle, or with one white pixel."""
    rng = np.random.default_rng(seed)
    image = np.ones((2, 128, 112), np.float16)
    image[0] = rng.normal(0.4, 0.02, (128, 112))
    places = np.add(rng.integers(-8, 9, (24 if bears else 1, 2)), (64, 56))
    image[0, places[:, 0], places[:, 1]] = 1.0
    sample = Sample(breast=f"{seed}-L", image=np.ones((2, 64, 64), np.float16), masses=())
    lesions, kinds = (((56.0, 64.0, 14.0),), (("cluster",),)) if bears else ((), ())
    return FineSample(image=image, lesions=lesions, kinds=kinds, sample=sample, from_canvas=IDENTITY)


@pytest.mark.parametrize("side", ["L", "R"])
def test_a_lesion_lies_where_it_is_drawn_at_both_spacings(side):
    breast = replace(random_breast(side, 5), lesions=(LESION,), gland=0.02, depth_mm=90.0, distractors=0)
    drawn = as_drawn(draw_view(breast, "CC", pitch_mm=0.2), breast, "CC", name="5-x")
    found = fine_sample(drawn)
    ((x, y, radius),) = found.lesions
    assert radius == pytest.approx(80)
    window = found.image[0, int(y) - 40 : int(y) + 40, int(x) - 40 : int(x) + 40]
    assert window.mean() > 0.9
    ((left, top, wide),) = found.sample.masses
    assert found.sample.clusters == found.sample.masses
    assert wide == pytest.approx(20)
    assert found.from_canvas.apply((left, top)) == pytest.approx((x, y))
    assert np.array_equal(found.targets, [[x, y, radius, 0]])


def test_a_picture_that_the_node_would_refuse_is_no_sample():
    breast = random_breast("L", 5)
    drawn = as_drawn(draw_view(breast, "CC"), breast, "CC", name="5-L")
    lost = replace(drawn, radiograph=replace(drawn.radiograph, pixels=np.zeros_like(drawn.radiograph.pixels)))
    with pytest.raises(ValueError, match="breast"):
        fine_sample(lost)


def test_targets_peak_where_the_clusters_are():
    batch = crops([specks(seed, bears=True) for seed in range(6)], np.random.default_rng(1), size=96, stride=16)
    assert batch.heat.shape == (6, 1, 6, 6)
    assert batch.weight.sum() > 0
    assert (batch.heat[batch.weight > 0] == 1).all()


def test_every_crop_has_its_own_calcifications_and_one_state_of_the_numbers_is_one_batch():
    first, again = (fresh_crops([ground()] * 60, np.random.default_rng(5), size=96, stride=16) for _ in range(2))
    assert torch.equal(first.image, again.image)
    assert first.image.shape == (60, 2, 96, 96)
    assert not torch.equal(first.image[0], first.image[1])
    bears = first.weight.sum(dim=(1, 2, 3))
    assert set(bears.tolist()) == {0.0, 1.0}
    assert 15 <= bears.sum() <= 40
    units = GrainUnits()(first.image[:, :1], first.image[:, 1:])[:, :1]
    near = functional.interpolate(first.heat, scale_factor=16.0) > 0.5
    assert units[near].amax() > 2
    assert (units[near] > 1.5).float().mean() > 3 * (units[~near] > 1.5).float().mean()


def test_a_cluster_that_nobody_could_see_is_left_out():
    specks = np.zeros((64, 64), np.float32)
    specks[20:44:6, 20:44:6] = 0.2
    tissue, sharp = np.full((64, 64), 2.0, np.float32), Scanner()
    assert detectability(specks, tissue, sharp) > detectability(specks, tissue, replace(sharp, blur_mm=0.3))
    assert detectability(specks, tissue, sharp) > detectability(specks, tissue + 2, sharp)
    alone = detectability(specks, tissue, replace(sharp, blur_mm=0.001))
    assert alone == pytest.approx(0.2 * 4 * np.sqrt(sharp.quanta_per_mm2 * 0.01 * np.exp(-2)), rel=1e-3)
    opaque = replace(ground(), attenuation=np.full((272, 256), 14.0, np.float16))
    assert fresh_crops([opaque] * 40, np.random.default_rng(8), size=96, stride=16).weight.sum() == 0


def test_nothing_lies_near_the_skin():
    shallow = replace(ground(), deep=np.zeros((272, 256), np.bool_))
    batch = fresh_crops([shallow] * 40, np.random.default_rng(6), size=96, stride=16)
    assert batch.weight.sum() == 0


def test_tissue_is_drawn_as_a_whole_view_is():
    breast = random_breast("R", 5)
    drawn = draw_view(breast, "CC", pitch_mm=0.1, size_mm=DETECTOR_MM)
    found = draw_ground(breast, 0)
    assert found.mask.shape == tuple(size + 64 for size in found.shape)
    rows, columns = found.shape
    top = int(np.flatnonzero(drawn.breast_mask.any(axis=1))[0])
    signal = drawn.signal[top : top + rows : 8, :columns:8]
    tissue = found.attenuation[32:-32:8, 32:-32:8].astype(np.float32)
    inside = found.deep[32:-32:8, 32:-32:8]
    assert np.abs(signal - tissue)[inside].mean() < 0.1
    assert np.corrcoef(signal[inside], tissue[inside])[0, 1] > 0.98


def test_the_detector_of_clusters_learns_and_one_seed_is_one_result(recipe):
    grounds = [ground(), ground()]
    first, again = (train_clusters(grounds, recipe, places=QUIET) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    batch = fresh_crops(grounds * 60, np.random.default_rng(7), size=96, stride=16)
    with torch.no_grad():
        highest = ClusterDetectorGraph(first.eval())(batch.image)[0].amax(dim=(1, 2, 3)).numpy()
    bears = batch.weight.sum(dim=(1, 2, 3)).numpy() > 0
    assert area_under_curve(highest, bears) > 0.6


def test_the_second_look_learns_and_is_measured_on_what_the_detectors_mark(recipe):
    rng = np.random.default_rng(3)
    truth = np.arange(48) % 2 == 0
    patches = rng.normal(0.4, 0.05, (48, 1, 64, 64)).astype(np.float16)
    patches[truth, :, 24:40, 24:40] += 0.4
    marked = MarkedPatches(patches=patches, scores=np.full(48, 0.5), truth=truth)
    look = train_second_look(marked, recipe, places=QUIET)
    with torch.no_grad():
        logit, _ = look(torch.from_numpy(patches.astype(np.float32)))
    assert logit[truth].mean() > logit[~truth].mean() + 1

    class Marks(torch.nn.Module):
        """Marks the middle of every picture, and a corner with a lower score; its view score is 0.5."""

        def forward(self, image):
            rows = torch.tensor([[[46.0, 54, 66, 74, 0.9, 0], [2, 2, 22, 22, 0.4, 0]]])
            return *(rows for _ in range(4)), torch.zeros(len(image)), rows, rows

    samples = [specks(seed, bears=seed % 2 == 0) for seed in range(6)]
    graphs = FineGraphs(clusters=Marks(), second_look=look)
    settings = fine_settings(recipe)
    found = evaluate_fine(Marks(), graphs, samples, settings, names=OUTPUTS)
    alone = evaluate_fine(Marks(), replace(graphs, second_look=None), samples, settings, names=OUTPUTS)
    assert alone.clusters.hits.tolist() == found.clusters.hits.tolist()
    assert [row["name"] for row in fine_metrics(alone, "in-domain")][
        -1
    ] == "cluster sensitivity at 1 false marks per view"
    assert found.clusters.hits.tolist() == pytest.approx([0.9] * 3)
    assert len(found.clusters.false_marks) == 3 + 6
    assert found.truth.sum() == 6
    assert 0 <= found.look_auc() <= 1
    names = [row["name"] for row in fine_metrics(found, "in-domain")]
    assert names[0] == "cluster sensitivity at 0.125 false marks per view"
    assert names[-1] == "detector score AUC on the same marks"


def test_a_views_score_is_the_higher_of_both_detectors_and_a_cluster_makes_it_abnormal(recipe):
    class Detector(torch.nn.Module):
        """Has no marks; its view score is 0.5."""

        def forward(self, image):
            rows = torch.zeros((1, 0, 6))
            return *(rows for _ in range(4)), torch.zeros(len(image)), torch.ones(1), rows

    class Clusters(torch.nn.Module):
        """Marks the middle, with the share of white as its score."""

        def forward(self, image):
            score = (image[0, 0] > 0.9).sum() / 24
            return *(score for _ in range(3)), torch.tensor([[[46.0, 54, 66, 74, score, 0]]])

    samples = [specks(seed, bears=seed % 2 == 0) for seed in range(4)]
    found = evaluate_fine(Detector(), FineGraphs(clusters=Clusters()), samples, fine_settings(recipe), names=OUTPUTS)
    assert found.views.image_labels.tolist() == [True, False, True, False]
    assert found.views.image_scores[1::2].tolist() == [0.5, 0.5]
    assert (found.views.image_scores[::2] > 0.6).all()
    assert found.views.image_auc() == 1


def test_a_recipe_without_the_section_says_so(recipe):
    with pytest.raises(ValueError, match="no section fine"):
        fine_settings(recipe.model_copy(update={"fine": None}))
    with pytest.raises(ValueError, match=r"no section fine\.second_look"):
        look_settings(fine_settings(recipe).model_copy(update={"second_look": None}))


def test_marks_of_one_kind_have_one_curve():
    rng = np.random.default_rng(2)
    marks = KindMarks(hits=np.append(rng.uniform(0.4, 1, 40), [0.0]), false_marks=rng.uniform(0, 0.6, 80), views=9)
    found = mark_calibration([marks], target="cluster")
    assert (found.target, found.n, found.positives) == ("cluster", 120, 40)
    assert found.apply(0.9) > 0.8
    assert found.apply(0.2) < 0.3


def test_marks_of_one_sort_alone_teach_nothing(recipe):
    patches = np.zeros((3, 1, 64, 64), np.float16)
    alone = MarkedPatches(patches=patches, scores=np.zeros(3), truth=np.zeros(3, np.bool_))
    with pytest.raises(FitError, match="mark 0 lesions and 3 other places"):
        train_second_look(alone, recipe, places=QUIET)


def test_both_graphs_are_exported_with_golden_windows(recipe, tmp_path, monkeypatch):
    torch.manual_seed(1)
    monkeypatch.setattr(
        mammography_fine_package, "draw_fine", lambda *_, **__: [specks(seed, bears=True) for seed in range(3)]
    )

    clusters = ClusterDetectorGraph(train_clusters([ground()], recipe, places=QUIET)).eval()
    look = train_second_look(
        MarkedPatches(
            patches=np.random.default_rng(1).random((8, 1, 64, 64)).astype(np.float16),
            scores=np.zeros(8),
            truth=np.arange(8) % 2 == 0,
        ),
        recipe,
        places=QUIET,
    )
    found = fine_sources(FineGraphs(clusters=clusters, second_look=look), recipe, tmp_path)
    assert set(found) == {"calcifications", "second_look"}
    assert all(source.path.exists() and len(source.golden) == 3 for source in found.values())


def blob(seed: int, exam: int, *, bears: bool) -> Sample:
    """Return a small view with a white disc, or without one."""
    rng = np.random.default_rng(seed)
    image = np.ones((2, 64, 64), np.float16)
    image[0] = rng.normal(0.4, 0.05, (64, 64))
    if bears:
        image[0, 24:40, 24:40] = 1.0
    return Sample(breast=f"{exam}-{'LR'[seed % 2]}", image=image, masses=((32.0, 32.0, 8.0),) if bears else ())


def test_a_recipe_with_finer_graphs_makes_a_package_that_the_node_loads(recipe, tmp_path, monkeypatch):
    def coarse(first: int, exams: int, *, shift: float = 1.0) -> list[Sample]:
        return [
            blob(first + 4 * each + view, first + each, bears=each % 2 == 0)
            for each in range(exams)
            for view in range(4 if shift else 1)
        ]

    def fine(first: int, exams: int, **_: object):
        drawn = [specks(first + each, bears=each % 2 == 0) for each in range(4 * exams)]
        # Lesions as large as the picture, since a detector of a few steps marks anywhere.
        wide = [replace(each, lesions=((56.0, 64.0, 90.0),) if each.lesions else ()) for each in drawn]
        return (replace(each, lesions=(), kinds=()) if index % 8 == 0 else each for index, each in enumerate(wide))

    monkeypatch.setattr(mammography, "draw_grounds", lambda _, views: [ground()] * views)
    for module in (mammography, mammography_measures, mammography_fine_package):
        monkeypatch.setattr(module, "draw_fine", fine)
    for module in (mammography, mammography_measures):
        monkeypatch.setattr(module, "draw_samples", coarse)
    look = look_settings(fine_settings(recipe)).model_copy(update={"exams": 12})
    small = recipe.model_copy(
        update={
            "calibration": recipe.calibration.model_copy(update={"scores": False}),  # it marks nothing of these
            "held_out": recipe.held_out.model_copy(update={"exams": 46}),
            "data": recipe.data.model_copy(update={"exams": 20}),
            "fine": fine_settings(recipe).model_copy(update={"views": 2, "second_look": look}),
        }
    )
    folder = mammography.make_package(tmp_path, small, source="recipe.yaml", places=QUIET)
    package = load_package(folder)
    assert [label.name for label in package.manifest.classes] == ["mass", "cluster"]
    assert set(package.manifest.graphs) == {"detector", "calcifications", "second_look"}
    assert {"display", "display-cluster", "triage"} == set(package.operating_points)
    assert package.reliability.sets_of("exam") is not None
    assert declared_kinds(package) == ("mass", "cluster")
    conditions = [metric.condition for metric in package.manifest.training.metrics]
    assert conditions[0] == "scanner-shift"
    assert "out-of-distribution" in conditions
    names = {metric.name for metric in package.manifest.training.metrics}
    assert {"cluster sensitivity at 0.5 false marks per view", "second look AUC"} <= names
    assert "malignancy score" in (folder / "MODEL_CARD.md").read_text()
    outputs = package.run("second_look", {"patches": np.zeros((3, 1, 64, 64), np.float32)})
    assert outputs["malignancy_logit"].shape == (3,)
    outputs = package.run("calcifications", {"image": np.ones((1, 2, 96, 160), np.float32)})
    assert outputs["marks"].shape[2] == 6
