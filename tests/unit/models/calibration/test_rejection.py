# SPDX-License-Identifier: Apache-2.0
"""The rows of a card: noise and another modality are told from patches of lung."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.calibration.distance import fit_gaussian, limits  # noqa: E402
from models.calibration.graph import WithDistances, depth_features  # noqa: E402
from models.calibration.rejection import card_table, metric_rows, rejections, uniform_noise  # noqa: E402
from models.calibration.sections import manifest_sections  # noqa: E402
from models.phantoms.computed_tomography import PATTERNS, shifted_scanner, usual_scanner  # noqa: E402
from models.recipes.diffuse_lung_data import pure_patches  # noqa: E402
from models.recipes.diffuse_lung_training import train  # noqa: E402
from service.domain.reliability import Limit, Reliability  # noqa: E402


@pytest.fixture(scope="module")
def measured():
    """A network trained for seconds; its distances for usual patches, noise, a flat grey and another scanner."""
    patches = pure_patches(10, seed=1, scanner=usual_scanner)
    network = train(patches, classes=len(PATTERNS), epochs=2, seed=1)
    gaussians = {
        depth: fit_gaussian(found, patches.classes)
        for depth, found in depth_features(network, [torch.from_numpy(patches.images)]).items()
    }
    module = WithDistances(network, gaussians).eval()
    names = module.output_names(("probability", "logits", "cam", "feature"))

    def distances(images):
        with torch.no_grad():
            outputs = dict(zip(names, module(torch.from_numpy(images)), strict=True))
        return {name: outputs[name].numpy() for name in names[4:]}

    held_out = distances(pure_patches(20, seed=2, scanner=usual_scanner).images)
    found = limits("patterns", held_out)
    ramp = np.linspace(0, 1, 48, dtype=np.float32)
    strange = {
        "uniform noise": distances(uniform_noise((60, 1, 48, 48), seed=3)),
        "plain ramp": distances(np.broadcast_to(ramp, (60, 1, 48, 48)).copy()),
        "scanner shift": distances(pure_patches(5, seed=4, scanner=shifted_scanner).images),
    }
    usual = distances(pure_patches(5, seed=5, scanner=usual_scanner).images)
    return found, rejections(usual, strange, found)


def test_noise_is_refused_and_usual_patches_are_not(measured):
    rows = {row.name: row for row in measured[1]}
    assert set(rows) == {"usual", "uniform noise", "plain ramp", "scanner shift"}
    assert rows["usual"].rejected < 0.15
    assert list(rows["usual"].auc.values()) == pytest.approx([0.5, 0.5])
    assert rows["uniform noise"].rejected == 1.0
    assert min(rows["uniform noise"].auc.values()) > 0.99
    assert rows["uniform noise"].cases == 60


def test_the_card_says_what_was_measured(measured):
    table = card_table(measured[1])
    assert "| uniform noise | 60 | 100.0 % |" in table
    assert "AUC of distance_shallow | AUC of distance_deep" in table
    names = {row["name"]: row["value"] for row in metric_rows(measured[1])}
    assert names["share refused by distance, uniform noise"] == 1.0


def test_a_case_above_one_limit_is_refused():
    two = [Limit(graph="g", output=name, threshold=1.0, quantile=0.99, n=100) for name in ("shallow", "deep")]
    usual = {"shallow": np.array([0.5, 2.0, 0.5]), "deep": np.array([0.5, 0.5, 1.0])}
    (row,) = rejections(usual, {}, two)
    assert row.rejected == pytest.approx(1 / 3)


def test_sections_are_what_a_manifest_can_hold(measured):
    sections = manifest_sections(Reliability(out_of_distribution=measured[0]))
    assert list(sections) == ["out_of_distribution"]
    assert [set(entry) for entry in sections["out_of_distribution"]] == [
        {"graph", "output", "threshold", "quantile", "n"}
    ] * 2
    assert manifest_sections(Reliability()) == {}
