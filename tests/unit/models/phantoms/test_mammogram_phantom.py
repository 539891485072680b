# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread

from models.phantoms.dicom import PhantomStudy
from models.phantoms.mammogram.breast import (
    VIEWS,
    Lesion,
    random_breast,
    random_cluster,
    random_distortion,
    random_lesion,
)
from models.phantoms.mammogram.files import StoredAs, write_mg_exam, write_mg_view
from models.phantoms.mammogram.view import draw_view
from models.phantoms.orders import mammogram_plan
from models.phantoms.variants.plans import MammogramPlan
from service.domain.errors import ConfigurationError

LESION = Lesion(depth_mm=40, lateral_mm=10, superior_mm=5, radius_mm=7, density_per_cm=0.5, seed=3)


@pytest.mark.parametrize("view", VIEWS)
def test_the_same_seed_draws_the_same_picture(view):
    first, second = (draw_view(random_breast("L", 4), view, pitch_mm=0.8) for _ in range(2))
    assert np.array_equal(first.grey, second.grey)
    assert not np.array_equal(first.grey, draw_view(random_breast("L", 6), view, pitch_mm=0.8).grey)


@pytest.mark.parametrize("view", VIEWS)
def test_a_mass_is_brighter_where_the_truth_says(view):
    breast = random_breast("L", 4)
    plain, with_mass = draw_view(breast, view), draw_view(replace(breast, lesions=(LESION,)), view)
    gain = with_mass.grey - plain.grey
    ((x, y, radius),) = with_mass.lesions
    rows, columns = np.mgrid[: gain.shape[0], : gain.shape[1]]
    inside = np.hypot(columns + 0.5 - x, rows + 0.5 - y) < radius / 2
    assert gain[inside].mean() > 0.05
    assert abs(gain[np.hypot(columns - x, rows - y) > 3 * radius].mean()) < 0.001


def test_a_mass_has_one_depth_in_both_views():
    breast = replace(random_breast("L", 4), lesions=(LESION,))
    columns = [draw_view(breast, view).lesions[0][0] for view in VIEWS]
    assert columns[0] == columns[1] == pytest.approx(100)


@pytest.mark.parametrize("seed", range(40))
def test_masses_lie_inside_the_breast(seed):
    breast = random_breast("R", seed)
    breast = replace(breast, lesions=(random_lesion(breast, seed),))
    for view in VIEWS:
        picture = draw_view(breast, view, pitch_mm=1.0)
        ((x, y, _),) = picture.lesions
        assert picture.breast_mask[int(y), int(x)]


def test_air_is_black_and_the_breast_is_not():
    picture = draw_view(random_breast("R", 2), "MLO", pitch_mm=0.8)
    assert picture.grey[~picture.breast_mask].max() == 0
    assert np.median(picture.grey[picture.breast_mask]) > 0.1
    assert picture.breast_mask[:, 0].any()
    assert not picture.breast_mask[:, -1].any()


def test_an_exam_has_the_four_views_with_orientations_of_their_side(tmp_path):
    written = write_mg_exam(tmp_path, study=PhantomStudy(seed="exam"), seed=3, mass_in="L", pitch_mm=0.8)
    headers = [dcmread(view.path) for view in written]
    assert [(header.ImageLaterality, header.ViewPosition) for header in headers] == [
        ("R", "CC"),
        ("R", "MLO"),
        ("L", "CC"),
        ("L", "MLO"),
    ]
    assert [list(header.PatientOrientation) for header in headers] == [
        ["P", "L"],
        ["P", "FL"],
        ["A", "R"],
        ["A", "FR"],
    ]
    assert [len(view.lesions) for view in written] == [0, 0, 1, 1]
    assert len({header.SOPInstanceUID for header in headers}) == 4
    assert {header.StudyInstanceUID for header in headers} == {PhantomStudy(seed="exam").study_instance_uid}
    assert headers[0].pixel_array[:, -1].any()
    assert not headers[0].pixel_array[:, 0].any()


@pytest.mark.parametrize("stored", [StoredAs(photometric="MONOCHROME1"), StoredAs(mirrored=True)])
def test_variants_show_the_same_picture(tmp_path, stored):
    breast = random_breast("L", 3)
    picture, study = draw_view(breast, "CC", pitch_mm=0.8), PhantomStudy(seed="variants")

    def shown(how: StoredAs) -> np.ndarray:
        written = write_mg_view(tmp_path / "v.dcm", picture, breast=breast, view="CC", study=study, stored=how)
        dataset = dcmread(written.path)
        pixels = dataset.pixel_array.astype(int)
        pixels = 4095 - pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels
        return pixels[:, ::-1] if dataset.PatientOrientation[0] == "P" else pixels

    breast_only = picture.breast_mask
    assert np.array_equal(shown(stored)[breast_only], shown(StoredAs())[breast_only])


def test_a_lesion_says_what_it_is():
    assert LESION.kinds == ("mass",)
    assert replace(LESION, calcifications=5).kinds == ("mass", "cluster")
    breast = random_breast("L", 4)
    assert random_cluster(breast, 1).kinds == ("cluster",)
    assert random_distortion(breast, 1).kinds == ("distortion",)
    drawn = draw_view(replace(breast, lesions=(LESION, random_cluster(breast, 1))), "CC", pitch_mm=1.0)
    assert drawn.of_kind("cluster") == drawn.lesions[1:]
    assert drawn.of_kind("distortion") == ()


def gain_around(lesion: Lesion) -> np.ndarray:
    """Return what a lesion adds to the signal of a fatty breast, within its radius."""
    breast = replace(random_breast("L", 4), gland=0.02, distractors=0)
    plain, drawn = (draw_view(replace(breast, lesions=each), "CC", pitch_mm=0.2) for each in ((), (lesion,)))
    ((x, y, radius),) = drawn.lesions
    rows, columns = np.ogrid[: plain.signal.shape[0], : plain.signal.shape[1]]
    return (drawn.signal - plain.signal)[np.hypot(columns - x, rows - y) < radius]


def test_a_cluster_is_a_few_bright_points():
    gain = gain_around(random_cluster(random_breast("L", 4), 1))
    assert gain.max() > 0.05
    assert 0 < (gain > 0.02).mean() < 0.05


def test_a_distortion_is_strands_without_a_body():
    gain = gain_around(random_distortion(random_breast("L", 4), 1))
    mass = gain_around(replace(LESION, radius_mm=8))
    assert gain.max() > 0.005
    assert (gain > 0.002).mean() > 0.05
    assert gain.mean() < 0.2 * mass.mean()


def test_single_calcifications_are_drawn_only_where_they_are_asked_for():
    breast = random_breast("L", 4)
    plain, specked = (draw_view(replace(breast, specks=count), "CC", pitch_mm=0.2).signal for count in (0, 5))
    gain = specked - plain
    assert 5 <= (gain > 0.03).sum() < 200
    assert np.array_equal(plain, draw_view(breast, "CC", pitch_mm=0.2).signal)


def test_strands_alone_are_a_distortion_and_a_mass_with_strands_is_a_mass():
    def kinds(**options: int) -> list[tuple[str, ...]]:
        plan = mammogram_plan(3, {"breast": "R", **options})
        assert isinstance(plan, MammogramPlan)
        assert plan.left.lesions == ()
        return [lesion.kinds for lesion in plan.right.lesions]

    assert kinds() == []
    assert kinds(spicules=22) == [("distortion",)]
    assert kinds(spicules=22, calcifications=8) == [("distortion", "cluster")]
    assert kinds(spicules=12, mass_mm=14) == [("mass",)]
    with pytest.raises(ConfigurationError, match="--spicules is 41; 0 to 40 can be drawn"):
        kinds(spicules=41)
