# SPDX-License-Identifier: Apache-2.0
"""Members against their ensemble, and learning curves: what is counted, kept and drawn."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.experiments.mammography import members, small_data  # noqa: E402
from models.experiments.mammography.members import read_samples  # noqa: E402
from models.experiments.mammography.small_data import Row, draw_cases, fitted, site_scanner, table  # noqa: E402
from models.networks.mass_detector import MassDetector, MassDetectorGraph  # noqa: E402
from models.recipes.mammography_data import Sample  # noqa: E402

RECIPE = Path(__file__).parents[3] / "models" / "recipes" / "mammography_fit.yaml"


class Marks(torch.nn.Module):
    """Marks a mass at (10, 10) on every view, and a distortion at (50, 50)."""

    def forward(self, image):
        rows = torch.tensor([[[5.0, 5, 15, 15, 0.7, 0], [45, 45, 55, 55, 0.6, 1]]])
        logit = torch.zeros(len(image))
        return rows, rows, rows, rows, logit, rows, rows


def sample(**lesions) -> Sample:
    image = np.ones((2, 64, 64), np.float16)
    return Sample(breast="1-L", image=image, masses=lesions.get("masses", ()), distortions=lesions.get("others", ()))


def test_a_lesion_is_found_on_one_view_and_by_its_kind(monkeypatch):
    monkeypatch.setattr(members, "MARKED", ("mass", "distortion"))
    views = [sample(masses=((10.0, 10.0, 4.0),)), sample(masses=((40.0, 12.0, 4.0),))]
    found = read_samples(Marks(), views)
    assert found["mass"].lesions.tolist() == pytest.approx([0.7])
    assert found["mass"].false_marks.tolist() == pytest.approx([0.7])
    assert found["distortion"].lesions.tolist() == []
    assert found["distortion"].false_marks.tolist() == pytest.approx([0.6, 0.6])
    assert found["mass"].score == pytest.approx(0.75)
    assert found["mass"].is_abnormal


def test_members_and_their_average_are_set_side_by_side(tmp_path, monkeypatch, capsys):
    graphs = {name: MassDetectorGraph(MassDetector(2)).eval() for name in ("averaged", "member 1")}
    monkeypatch.setattr(members, "_graphs", lambda *_: graphs)
    monkeypatch.setattr(members, "FEWEST", 1)
    assert members.main([str(RECIPE), "--out", str(tmp_path), "--exams", "2"]) == 0
    rows = json.loads((tmp_path / "members.json").read_text())
    assert rows[0]["name"] == "mass: sensitivity at 0.125 false marks per view, averaged"
    assert rows[0]["condition"] == "unseen scanners"
    assert (tmp_path / "members.png").exists()
    assert "member 1" in capsys.readouterr().out


def test_a_recipe_that_keeps_its_detector_trains_no_members(tmp_path, capsys):
    assert members.main([str(RECIPE.with_name("mammography.yaml")), "--out", str(tmp_path)]) == 2
    assert "has no section fit" in capsys.readouterr().err


def test_one_network_and_too_few_exams_are_refused(tmp_path, capsys):
    assert members.main([str(RECIPE), "--out", str(tmp_path), "--members", "1"]) == 2
    assert "makes no ensemble" in capsys.readouterr().err
    assert members.main([str(RECIPE), "--out", str(tmp_path), "--exams", "3"]) == 2
    assert "--exams is 3" in capsys.readouterr().err


def test_learning_curves_are_kept_and_go_on(tmp_path, capsys):
    options = ["--out", str(tmp_path), "--seeds", "1", "--steps", "2", "--test", "8", "--cases", "4"]
    assert small_data.main(options) == 0
    first = (tmp_path / "small_data.jsonl").read_text()
    rows = [Row(**json.loads(line)) for line in first.splitlines()]
    assert [(row.arm, row.cases) for row in rows] == [("phantoms first", 0), ("phantoms first", 4), ("from nothing", 4)]
    assert all(0 <= row.sensitivity <= 1 for row in rows)
    assert small_data.main(options) == 0
    assert (tmp_path / "small_data.jsonl").read_text() == first, "nothing is fitted twice"
    assert (tmp_path / "small_data.png").read_bytes()[:4] == b"\x89PNG"
    assert "| none | " in capsys.readouterr().out


def test_a_start_makes_a_difference_before_anything_is_fitted():
    cases = draw_cases(5, 3, site_scanner())
    assert all(not each.distortions and not each.clusters for each in cases if not each.masses)
    started, drawn = (fitted([], started=started, seed=1, steps=0) for started in (True, False))
    image = torch.from_numpy(cases[0].image.astype(np.float32))[None]
    with torch.no_grad():
        assert started(image)[0].std() > 3 * drawn(image)[0].std()


def test_the_table_has_mean_and_range():
    rows = [
        Row(arm="from nothing", cases=10, seed=seed, steps=1, sensitivity=value) for seed, value in ((0, 0.2), (1, 0.4))
    ]
    assert table(rows) == "| cases | phantoms first | from nothing |\n|---|---|---|\n| 10 |  | 0.30 (0.20 to 0.40) |\n"
