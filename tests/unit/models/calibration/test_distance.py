# SPDX-License-Identifier: Apache-2.0
"""The distance is SciPy's, in torch and in the exported graph; it rises for what the network was not made for."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

import onnxruntime  # noqa: E402
from scipy.spatial.distance import mahalanobis  # noqa: E402
from sklearn.covariance import LedoitWolf  # noqa: E402

from models.calibration.distance import fit_gaussian, limits  # noqa: E402
from models.calibration.graph import GaussianDistance, Tempered, WithDistances, depth_features  # noqa: E402
from models.ensemble import EnsembleGraph, Member  # noqa: E402
from models.explanation.last_layer import AverageExplained  # noqa: E402
from models.export import export_onnx  # noqa: E402
from models.networks.classifier import build_classifier  # noqa: E402
from models.networks.lung_unet import LungUNet  # noqa: E402
from models.networks.mass_detector import MassDetector, MassDetectorGraph  # noqa: E402
from models.networks.patch_resnet import PatchResNet  # noqa: E402
from models.networks.zone_ensemble import ZoneEnsemble  # noqa: E402
from models.networks.zone_profusion import ZoneProfusion  # noqa: E402


def _features(count=300, depth=12, classes=3, seed=0):
    """Correlated features, as a network's are, around a mean for each class."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, count)
    mixing = np.random.default_rng(99).normal(0, 1, (depth, depth))
    return 3 * truth[:, None] + rng.normal(0, 1, (count, depth)) @ mixing, truth


def _scipy(features, truth, points):
    """The definition, case by case: the nearest class's mean, one Ledoit-Wolf covariance for all."""
    means = [features[truth == name].mean(axis=0) for name in np.unique(truth)]
    residuals = np.concatenate([features[truth == name] - means[name] for name in np.unique(truth)])
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(residuals).covariance_)
    return np.array([min(mahalanobis(point, mean, inverse) for mean in means) for point in points])


def test_distance_equals_scipys_in_numpy_and_torch():
    features, truth = _features()
    points, _ = _features(50, seed=5)
    gaussian = fit_gaussian(features, truth)
    expected = _scipy(features, truth, points)
    assert gaussian.distances(points) == pytest.approx(expected, rel=1e-9)
    found = GaussianDistance(gaussian)(torch.from_numpy(points).float()).numpy()
    assert found == pytest.approx(expected, rel=1e-4)


def test_features_that_never_vary_have_a_finite_distance():
    features, truth = _features()
    features[:, 3] = 0.0
    assert np.all(np.isfinite(fit_gaussian(features, truth).distances(features)))
    with pytest.raises(ValueError, match="the same within each class"):
        fit_gaussian(np.ones((10, 3)), np.zeros(10, dtype=int))


def test_limits_leave_out_one_in_a_hundred_of_usual_cases():
    features, truth = _features(20_000)
    gaussian = fit_gaussian(features[:10_000], truth[:10_000])
    held_out = {"distance_deep": gaussian.distances(features[10_000:15_000])}
    (limit,) = limits("patterns", held_out)
    assert (limit.graph, limit.output, limit.quantile, limit.n) == ("patterns", "distance_deep", 0.99, 5000)
    above = gaussian.distances(features[15_000:]) > limit.threshold
    assert above.mean() == pytest.approx(0.01, abs=4 * np.sqrt(0.01 * 0.99 / 5000 * 2))
    with pytest.raises(ValueError, match="too few for a quantile"):
        limits("patterns", {"distance_deep": np.arange(1.0, 99)})


def _zones(count, seed=0):
    zones = torch.rand((count, 2, 96, 96), generator=torch.Generator().manual_seed(seed))
    zones[:, 1] = (zones[:, 1] > -1) & (torch.arange(96) > 24)
    return zones


def _images(*shape):
    return lambda count, seed=0: torch.rand((count, *shape), generator=torch.Generator().manual_seed(seed))


def _ensemble():
    networks = {name: build_classifier(name, 3) for name in ("resnet50-small", "vgg16-small")}
    members = [Member(name=name, error=0.2, alpha=alpha) for name, alpha in zip(networks, (1.0, 2.0), strict=True)]
    return EnsembleGraph(networks, members)


def _zone_ensemble():
    networks = {"plain": ZoneProfusion(), "diagonal": ZoneProfusion(family="densenet121-small", bands=("cD",))}
    return ZoneEnsemble(networks, [Member(name=name, error=0.2, alpha=1.4) for name in networks])


NETWORKS = {
    "patches": (lambda: PatchResNet(4), _images(1, 48, 48)),
    "tempered": (lambda: Tempered(PatchResNet(4), 1.7), _images(1, 48, 48)),
    "zones": (ZoneProfusion, _zones),
    "mammogram": (lambda: MassDetectorGraph(MassDetector(4), marks=5), _zones),
    "lungs": (LungUNet, _images(1, 64, 64)),
    "explained": (lambda: AverageExplained(build_classifier("densenet121-small", 3)), _images(1, 48, 48)),
    "classifier": (lambda: build_classifier("vgg16-small", 3), _images(1, 48, 48)),
    "ensemble": (_ensemble, _images(1, 48, 48)),
    "zones that vote": (_zone_ensemble, _zones),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_exports_its_distances_and_leaves_its_outputs_as_they_are(name: str, tmp_path: Path):
    build, images = NETWORKS[name]
    torch.manual_seed(3)
    network = build().train()
    with torch.no_grad():
        network(images(8, 1))  # batch statistics: an untrained network has features that vary
    network.eval()
    classes = np.arange(24) % 2
    seen = depth_features(network, [images(12, 4), images(12, 5)])
    assert len(seen) >= 2
    gaussians = {depth: fit_gaussian(features, classes) for depth, features in seen.items()}
    module = WithDistances(network, gaussians).eval()
    batch = images(3, 6)
    with torch.no_grad():
        plain = network(batch)
        plain = (plain,) if isinstance(plain, torch.Tensor) else plain
        whole = module(batch)
    for before, after in zip(plain, whole[: len(plain)], strict=True):
        assert torch.equal(before, after)
    names = module.output_names([f"output_{index}" for index in range(len(plain))])
    assert names[len(plain) :] == tuple(f"distance_{depth}" for depth in seen)
    # Squared distances double what kernels of different processors differ by: on some, 1.2e-5 for the deepest features.
    options = {"examples": [{"image": batch.numpy()}], "output_names": names, "tolerance": 1e-4}
    export = export_onnx(module, tmp_path / "graph.onnx", **options)
    found = onnxruntime.InferenceSession(str(export.path)).run(list(names[len(plain) :]), {"image": batch.numpy()})
    new = depth_features(network, [batch])
    for depth, values in zip(seen, found, strict=True):
        assert values.shape == (3,)
        assert values == pytest.approx(_scipy(seen[depth], classes, new[depth]), rel=1e-4)


def test_temperature_changes_the_probability_alone():
    network = PatchResNet(4).eval()
    batch = _images(1, 48, 48)(2)
    with torch.no_grad():
        plain, tempered = network(batch), Tempered(network, 2.0)(batch)
    assert torch.allclose(tempered[0], (plain[1] / 2).softmax(dim=1))
    for before, after in zip(plain[1:], tempered[1:], strict=True):
        assert torch.equal(before, after)


def test_features_outside_the_mask_do_not_count():
    network = ZoneProfusion().eval()
    one, other = _zones(1), _zones(1)
    other[:, 0, :, :16] = 0.9  # well outside the mask, which begins at column 25
    with torch.no_grad():
        first, second = network.with_depths(one)[1], network.with_depths(other)[1]
    assert torch.allclose(first["shallow"], second["shallow"], atol=1e-6)
    other[:, 0, :, 40:56] = 0.9
    with torch.no_grad():
        third = network.with_depths(other)[1]
    assert not torch.allclose(first["shallow"], third["shallow"], atol=1e-6)
