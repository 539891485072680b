# SPDX-License-Identifier: Apache-2.0
"""Readers of zones that vote equal a plain reference, in torch and in the exported graph, and their maps add up."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from scipy.stats import entropy

from models.ensemble import Member, samme_weights
from models.export import export_onnx
from models.networks.zone_ensemble import ENSEMBLE_OUTPUTS, ZoneEnsemble
from models.networks.zone_profusion import ABNORMAL, ZoneProfusion

pytestmark = pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript:DeprecationWarning")

BUILT = {
    "plain": {},
    "vgg16-diagonal": {"family": "vgg16-small", "bands": ("cD",)},
    "resnet50": {"family": "resnet50-small", "wavelet": "db2"},
    "vgg19-full": {"family": "vgg19", "bands": ("cA", "cD")},
    "dropped": {"family": "densenet121-small"},
}
ALPHAS = {"plain": 0.5, "vgg16-diagonal": 2.0, "resnet50": 1.25, "vgg19-full": 0.75, "dropped": -0.1}
KEPT = [name for name, alpha in ALPHAS.items() if alpha > 0]


@pytest.fixture(scope="module")
def zones() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(3, 1, 288, 288)
    mask[:, :, 60:200, 40:240] = 1
    return torch.cat([torch.rand((3, 1, 288, 288), generator=generator), mask], dim=1)


@pytest.fixture(scope="module")
def networks(zones: torch.Tensor) -> dict[str, ZoneProfusion]:
    """Readers that differ, with the statistics of a batch, so that their logits are of a usual size."""
    torch.manual_seed(2)
    built = {name: ZoneProfusion(**how) for name, how in BUILT.items()}  # type: ignore[arg-type]
    with torch.no_grad():
        for network in built.values():
            network(zones)
            network.cuts += torch.randn(()) * 0.5 - 1.5
    return {name: network.eval() for name, network in built.items()}


@pytest.fixture
def ensemble(networks: dict[str, ZoneProfusion]) -> ZoneEnsemble:
    return ZoneEnsemble(networks, [Member(name=name, error=0.3, alpha=alpha) for name, alpha in ALPHAS.items()]).eval()


def outputs_of(ensemble: ZoneEnsemble, zones: torch.Tensor) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return {name: found.numpy() for name, found in zip(ENSEMBLE_OUTPUTS, ensemble(zones), strict=True)}


def test_logits_maps_and_votes_are_the_weighted_ones_of_the_members(ensemble, networks, zones):
    found = outputs_of(ensemble, zones)
    with torch.no_grad():
        each = {name: [output.numpy().astype(np.float64) for output in networks[name](zones)] for name in KEPT}
    share = {name: ALPHAS[name] / sum(ALPHAS[kept] for kept in KEPT) for name in KEPT}
    for index, output in enumerate(("profusion_logits", "shape_logits")):
        np.testing.assert_allclose(found[output], sum(share[name] * each[name][index] for name in KEPT), atol=1e-5)
    cam = sum(share[name] * np.kron(each[name][2], np.ones((18 // each[name][2].shape[2],) * 2)) for name in KEPT)
    np.testing.assert_allclose(found["cam"], cam, atol=1e-5)
    np.testing.assert_array_equal(found["feature"], each["vgg16-diagonal"][3].astype(np.float32))
    for zone in range(len(zones)):
        above = {name: 1 / (1 + np.exp(-each[name][0][zone, ABNORMAL])) for name in KEPT}
        soft = sum(share[name] * above[name] for name in KEPT)
        hard = sum(share[name] for name in KEPT if above[name] > 0.5)
        inner = sum(share[name] * entropy([above[name], 1 - above[name]]) for name in KEPT)
        np.testing.assert_allclose(found["probability"][zone], [1 - soft, soft], atol=1e-6)
        np.testing.assert_allclose(found["vote"][zone], [1 - hard, hard], atol=1e-6)
        assert found["margin"][zone] == pytest.approx(abs(2 * soft - 1), abs=1e-6)
        assert found["divergence"][zone] == pytest.approx(entropy([soft, 1 - soft]) - inner, abs=1e-6)
    assert 0 < found["vote"][:, 1].min() < 1 or len(set(found["vote"][:, 1])) > 1, "members that all agree test nothing"


def test_the_map_adds_up_to_the_logit_of_the_vote_lowered_or_not(networks, zones):
    members = [Member(name=name, error=0.3, alpha=alpha) for name, alpha in ALPHAS.items()]
    copies = {name: ZoneProfusion(**how).eval() for name, how in BUILT.items()}
    for name, copy in copies.items():
        copy.load_state_dict(networks[name].state_dict())
    ensemble = ZoneEnsemble(copies, members).eval()
    before = outputs_of(ensemble, zones)
    ensemble.lower(1.25)
    after = outputs_of(ensemble, zones)
    for found in (before, after):
        np.testing.assert_allclose(found["cam"].mean(axis=(1, 2, 3)), found["profusion_logits"][:, ABNORMAL], atol=1e-5)
    np.testing.assert_allclose(after["profusion_logits"], before["profusion_logits"] - 1.25, atol=1e-5)


def test_the_depths_are_those_of_the_member_that_weighs_most(ensemble, networks, zones):
    with torch.no_grad():
        _, depths = ensemble.with_depths(zones)
        _, own = networks["vgg16-diagonal"].with_depths(zones)
    assert depths.keys() == own.keys()
    assert all(torch.equal(depths[name], own[name]) for name in own)


def test_one_file_holds_all_of_it(ensemble, zones, tmp_path: Path):
    export = export_onnx(
        ensemble,
        tmp_path / "zones.onnx",
        examples=[{"zones": zones[:2].numpy()}],
        output_names=ENSEMBLE_OUTPUTS,
        tolerance=1e-5,
    )
    session = onnxruntime.InferenceSession(str(export.path), providers=["CPUExecutionProvider"])
    for batch in (zones[:1], zones):
        found = session.run(None, {"zones": batch.numpy()})
        for (name, expected), output in zip(outputs_of(ensemble, batch).items(), found, strict=True):
            np.testing.assert_allclose(output, expected, atol=1e-5, rtol=1e-5, err_msg=name)


def test_weights_are_sammes_of_two_classes():
    """For two classes SAMME is AdaBoost.M1 (Freund 1997): alpha = ln((1 - e) / e)."""
    truth = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    above = np.array([0.1, 0.9, 0.2, 0.8, 0.7, 0.4, 0.9, 0.6])  # the second and the sixth are wrong
    (member,) = samme_weights({"one": np.stack([1 - above, above], axis=1)}, truth, classes=2)
    assert member.error == 0.25
    assert member.alpha == pytest.approx(np.log(3))


def test_weights_of_others_are_refused(networks):
    with pytest.raises(ValueError, match=r"weights are for plain: .*, networks are plain, vgg16-diagonal"):
        ZoneEnsemble(networks, [Member(name="plain", error=0.3, alpha=1.0)])
