# SPDX-License-Identifier: Apache-2.0
"""The zone reader explains itself exactly and sees nothing outside the zone; the lung finder keeps its contract."""

import numpy as np
import pytest
import pywt
import torch
from torch import nn
from torch.nn import functional

from models.networks.lung_unet import LungUNet
from models.networks.zone_profusion import ABNORMAL, FAMILIES, ZoneProfusion, cell_px

SMALL = tuple(family for family in FAMILIES if cell_px(family) == 16)


@pytest.fixture
def zones():
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(3, 1, 288, 288)
    mask[:, :, 60:200, 40:240] = 1
    return torch.cat([torch.rand((3, 1, 288, 288), generator=generator), mask], dim=1)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ZoneProfusion().eval()


def test_the_map_averages_to_the_logit_of_abnormal(network, zones):
    profusion, shape, cam, feature = network(zones)
    assert profusion.shape == (3, 11)
    assert shape.shape == (3, 6)
    assert feature.shape[0] == 3
    assert torch.allclose(cam.mean(dim=(2, 3))[:, 0], profusion[:, ABNORMAL], atol=1e-5)


def test_what_lies_far_outside_the_zone_changes_nothing(network, zones):
    changed = zones.clone()
    changed[:, 0, 275:, :] = 1 - changed[:, 0, 275:, :]
    assert torch.equal(network(zones)[0], network(changed)[0])


def test_steps_of_the_scale_never_cross_when_their_cuts_fall(network, zones):
    profusion = network(zones)[0]
    assert (profusion.diff(dim=1) < 0).all()


def convolution(features: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(features, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


def test_the_plain_reader_is_the_one_that_packages_hold(network, zones):
    """Names, order and first weights of its layers, and what it computes, written out: checkpoints must fit."""
    torch.manual_seed(0)
    backbone = nn.Sequential(
        convolution(5, 16),
        nn.MaxPool2d(2),
        convolution(16, 32),
        convolution(32, 32),
        nn.MaxPool2d(2),
        convolution(32, 48),
        convolution(48, 48),
        nn.MaxPool2d(2),
        convolution(48, 64),
        convolution(64, 64),
    ).eval()
    profusion, shape = nn.Conv2d(64, 1, 1, bias=False), nn.Linear(64, 6)
    expected = {
        **{f"balance.{name}": value for name, value in nn.BatchNorm2d(4, affine=False).state_dict().items()},
        **{f"backbone.{name}": value for name, value in backbone.state_dict().items()},
        "profusion.weight": profusion.weight,
        "cuts": torch.linspace(2.5, -2.5, 11),
        **{f"shape.{name}": value for name, value in shape.state_dict().items()},
    }
    own = network.state_dict()
    assert sorted(own) == sorted(expected)
    assert all(torch.equal(own[name], value) for name, value in expected.items())
    inside = (functional.avg_pool2d(zones[:, 1:], 2) > 0.999).float()
    bands = torch.cat([network.balance(network.wavelet(zones[:, :1]) * inside), inside], dim=1)
    assert torch.equal(network.features(zones), backbone(bands))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_a_crop_and_its_map_adds_up(family, zones):
    torch.manual_seed(1)
    reader = ZoneProfusion(family=family).eval()
    with torch.no_grad():
        profusion, shape, cam, feature = reader(zones[:1])
        _, depths = reader.with_depths(zones[:1])
    cells = 288 // cell_px(family)
    assert cells == (18 if family in SMALL else 9)
    assert cam.shape == (1, 1, cells, cells)
    assert (profusion.shape, shape.shape) == ((1, 11), (1, 6))
    assert cam.mean().item() == pytest.approx(profusion[0, ABNORMAL].item(), abs=1e-5)
    assert depths["deep"].shape == feature.shape
    assert set(depths) == {"shallow", "deep"}


def test_an_unknown_family_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="family 'vgg13' is unknown; known are plain, vgg16"):
        ZoneProfusion(family="vgg13")


@pytest.mark.parametrize("family", SMALL)
def test_one_band_alone_is_pywavelets_band(family, zones):
    """Without the border's part and before balancing, the first channel is the diagonal detail of the crop."""
    reader = ZoneProfusion(family=family, bands=("cD",)).eval()
    seen = reader._bands(zones)
    assert seen.shape == (3, 2, 144, 144)
    inside = seen[:, 1].numpy() > 0
    for zone, found, where in zip(zones.numpy(), seen[:, 0].detach().numpy(), inside, strict=True):
        diagonal = pywt.dwt2(zone[0], "haar")[1][2]
        np.testing.assert_allclose(found[where] * np.sqrt(1 + reader.balance.eps), diagonal[where], atol=1e-5)
        assert not found[~where].any()


@pytest.mark.parametrize("wavelet", ["db2", "db4", "coif2"])
def test_longer_filters_keep_the_grid_and_see_nothing_outside_the_zone(wavelet, zones):
    reader = ZoneProfusion(wavelet=wavelet).eval()
    seen = reader._bands(zones)
    assert seen.shape == (3, 5, 144, 144)
    changed = zones.clone()
    changed[:, 0] = torch.where(zones[:, 1] > 0, zones[:, 0], 1 - zones[:, 0])
    assert torch.equal(seen, reader._bands(changed))
    rows, columns = torch.nonzero(seen[0, 4], as_tuple=True)
    # the zone's rows 60 to 199 and columns 40 to 239 at half the resolution, less the filter's reach on each side
    middle = (rows.float().mean().item(), columns.float().mean().item())
    assert middle == pytest.approx((64.5, 69.5), abs=0.51)


def test_lowered_cuts_lower_every_logit_and_the_map_with_them(network, zones):
    with torch.no_grad():
        before = network(zones)
        network.lower(0.75)
        after = network(zones)
    assert torch.allclose(after[0], before[0] - 0.75, atol=1e-5)
    assert torch.allclose(after[2].mean(dim=(1, 2, 3)), after[0][:, ABNORMAL], atol=1e-5)
    assert torch.equal(after[1], before[1])


def test_the_lung_finder_gives_three_probabilities_per_pixel():
    masks = LungUNet().eval()(torch.rand(1, 1, 256, 256))
    assert masks.shape == (1, 3, 256, 256)
    assert masks.min() >= 0
    assert masks.max() <= 1
