# SPDX-License-Identifier: Apache-2.0
"""The zone reader explains itself exactly and sees nothing outside the zone; the lung finder keeps its contract."""

import pytest
import torch

from models.networks.lung_unet import LungUNet
from models.networks.zone_profusion import ABNORMAL, ZoneProfusion


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


def test_the_lung_finder_gives_three_probabilities_per_pixel():
    masks = LungUNet().eval()(torch.rand(1, 1, 256, 256))
    assert masks.shape == (1, 3, 256, 256)
    assert masks.min() >= 0
    assert masks.max() <= 1
