# SPDX-License-Identifier: Apache-2.0
"""FROC and ROC with clustered bands, against hand-made exams and a plain count."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from models.experiments.mammography.__main__ import main
from models.experiments.mammography.curves import FALSE_MARKS, banded, exam_auc, exam_specificity, lesion_sensitivity
from models.experiments.mammography.picture import draw_froc
from models.experiments.mammography.reading import ReadExam, ReadView, by_kind, exam_of_kind, read_exams
from models.recipes.mammography_fine import DrawnView, draw_views
from service.domain.image import Radiograph
from service.inference.package import default_packages_folder, load_package
from service.pipelines.mammography.kinds import KindName
from service.pipelines.mammography.marks import DetectedMark


def exam(lesions=(), false_marks=(), *, score=0.0) -> ReadExam:
    return ReadExam(
        lesions=np.array(lesions, dtype=float),
        false_marks=np.array(false_marks, dtype=float),
        views=4,
        score=score,
        is_abnormal=bool(lesions),
    )


def test_sensitivity_counts_lesions_above_the_first_false_mark_too_many():
    exams = [exam([0.9, 0.2], [0.5]), exam([], [0.8, 0.1]), exam([0.6], [])]
    at = lesion_sensitivity(exams, np.array([0.0, 1 / 12, 2 / 12, 3 / 12]))
    assert at.tolist() == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0])


def test_a_missed_lesion_is_never_found():
    assert lesion_sensitivity([exam([0.0, 0.4])], np.array([10.0])).tolist() == [0.5]


def test_sensitivity_is_that_of_a_plain_count():
    rng = np.random.default_rng(0)
    exams = [exam(rng.random(rng.integers(0, 3)).tolist(), rng.random(5).tolist()) for _ in range(50)]
    marks = np.concatenate([each.false_marks for each in exams])
    lesions = np.concatenate([each.lesions for each in exams])
    for allowed in (0.1, 0.5, 1.0):
        thresholds = [t for t in np.append(np.unique(marks), 0) if (marks > t).sum() <= allowed * 4 * len(exams)]
        best = max((lesions > t).mean() for t in thresholds)
        assert lesion_sensitivity(exams, np.array([allowed])) == pytest.approx(best)


def test_the_area_is_half_without_information_and_one_with_all():
    apart = [exam([0.5], score=0.8), exam(score=0.1)]
    assert exam_auc(apart) == pytest.approx(1.0)
    assert np.isnan(exam_auc(apart[:1]))


def test_specificity_is_of_exams_without_a_lesion_below_the_threshold():
    exams = [exam(score=0.1), exam(score=0.5), exam(score=0.2), exam([0.9], score=0.05)]
    assert exam_specificity(exams, threshold=0.5) == pytest.approx(2 / 3)
    assert np.isnan(exam_specificity(exams[3:], threshold=0.5))


def test_bands_come_from_whole_exams():
    """Ten copies of one mark in one exam are no ten cases: the band is as wide as that of five exams."""
    few = [exam([0.9] * 10, score=1.0), *[exam([0.0] * 10, score=1.0) for _ in range(4)]]
    found = banded(few, lambda some: lesion_sensitivity(some, np.array([1.0])), draws=400)
    assert found.value.tolist() == [0.2]
    assert found.low[0] == 0.0
    assert found.high[0] >= 0.6


def drawn(view: str, *, breast: str = "1-L") -> DrawnView:
    radiograph = Radiograph(sop_instance_uid="2.25.1", pixels=np.zeros((9, 9)), padding=np.zeros((9, 9), np.bool_))
    lesions = ((10.0, 10.0, 5.0), (40.0, 40.0, 5.0))
    kinds = (("mass", "cluster"), ("distortion",))
    return DrawnView(radiograph=radiograph, breast=breast, view=view, lesions=lesions, kinds=kinds)


def mark(x: float, y: float, score: float, kind: KindName = "mass", malignancy: float | None = None) -> DetectedMark:
    return DetectedMark(score=score, box=(x - 5, y - 5, x + 5, y + 5), kind=kind, malignancy=malignancy)


def test_one_view_is_enough_to_find_a_lesion():
    views = [
        ReadView(drawn=drawn("CC"), marks=(mark(11, 11, 0.7),), score=0.5),
        ReadView(drawn=drawn("MLO"), marks=(mark(85, 85, 0.3),), score=0.5),
    ]
    found = exam_of_kind(views, "mass")
    assert found.lesions.tolist() == pytest.approx([0.7])
    assert found.false_marks.tolist() == pytest.approx([0.3])
    assert (found.views, found.score, found.is_abnormal) == (2, 0.75, True)


def test_a_mark_of_another_kind_hits_nothing():
    views = [ReadView(drawn=drawn("CC"), marks=(mark(40, 40, 0.7), mark(10, 10, 0.6, "cluster")), score=0.1)]
    assert exam_of_kind(views, "distortion").lesions.tolist() == [0.0]
    assert exam_of_kind(views, "distortion").false_marks.tolist() == []
    assert exam_of_kind(views, "mass").false_marks.tolist() == [0.7]
    assert exam_of_kind(views, "cluster").lesions.tolist() == [0.6]


def test_the_second_look_is_measured_beside_the_detectors_scores():
    class Package:
        """Looks for masses alone."""

        parameters: Mapping[str, Any] = {}

    views = [ReadView(drawn=drawn("CC"), marks=(mark(10, 10, 0.7, malignancy=0.2), mark(80, 80, 0.4)), score=0.1)]
    found = by_kind([views], Package())
    assert set(found) == {"mass", "mass, second look"}
    assert found["mass, second look"][0].lesions.tolist() == [0.2]
    assert found["mass, second look"][0].false_marks.tolist() == [], "it did not look there"


def test_exams_are_read_as_the_node_reads_them():
    views = list(draw_views(3, 1, counts=(0.0, 1.0), shares={"mass": 1.0}))
    package = load_package(next(default_packages_folder().glob("mammography-demo/*")), provider="cpu")
    ((first, second, *_),) = read_exams(views[:2], package)
    assert first.drawn.radiograph.pixels.size == 1
    assert first.marks
    assert 0 < second.score < 1


def test_the_figure_is_drawn(tmp_path):
    exams = [exam([0.9], [0.5]), exam([], [0.2])]
    curve = banded(exams, lambda some: lesion_sensitivity(some, FALSE_MARKS), draws=20)
    draw_froc({"mass": {"unseen scanners": curve}, "cluster": {"unseen scanners": curve}}, tmp_path / "froc.png")
    assert (tmp_path / "froc.png").read_bytes()[:4] == b"\x89PNG"


def test_too_few_exams_and_an_absent_package_are_named(tmp_path, capsys):
    package = str(next(default_packages_folder().glob("mammography-demo/*")))
    assert main([package, "--out", str(tmp_path), "--exams", "9"]) == 2
    assert "--exams is 9; at least 10" in capsys.readouterr().err
    assert main([str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    assert "mammography: " in capsys.readouterr().err


@pytest.mark.full_size
def test_the_demonstration_is_measured(tmp_path, capsys):
    package = str(next(default_packages_folder().glob("mammography-demo/*")))
    assert main([package, "--out", str(tmp_path), "--exams", "10", "--normal", "2"]) == 0
    rows = json.loads((tmp_path / "curves.json").read_text())
    assert {row["condition"] for row in rows} == {"unseen scanners", "scanners as in training"}
    names = {row["name"] for row in rows}
    assert "mass: sensitivity at 0.5 false marks per view" in names
    assert "exam specificity at the triage threshold" in names
    assert "| exam AUC | unseen scanners |" in capsys.readouterr().out
