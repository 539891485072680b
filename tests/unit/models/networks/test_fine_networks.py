# SPDX-License-Identifier: Apache-2.0
"""The networks at 0.1 mm: marks are the peaks of the heat, and the second look's map adds up to its logit."""

import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.networks.cluster_detector import (  # noqa: E402
    CLUSTER_STRIDE,
    ClusterDetector,
    ClusterDetectorGraph,
    GrainUnits,
)
from models.networks.second_look import SecondLook  # noqa: E402


@torch.no_grad()
def test_marks_of_clusters_are_peaks_inside_the_breast():
    torch.manual_seed(1)
    detector = ClusterDetector(4).eval()
    torch.nn.init.constant_(detector.heat[1].bias, 0.0)
    image = torch.zeros(1, 2, 128, 96)
    image[:, 0] = torch.rand(128, 96)
    image[:, 1, :, :64] = 1
    heat, offset, size, marks = ClusterDetectorGraph(detector, marks=6)(image)
    assert heat.shape == (1, 1, 128 // CLUSTER_STRIDE, 96 // CLUSTER_STRIDE)
    assert (heat[..., 4:] == 0).all()
    row, column = divmod(int(heat.flatten().argmax()), heat.shape[3])
    x0, y0, x1, y1, score, channel = marks[0, 0]
    assert (score, channel) == (heat.max(), 0)
    centre = torch.stack([column + offset[0, 0, row, column], row + offset[0, 1, row, column]]) * CLUSTER_STRIDE
    torch.testing.assert_close(torch.stack([x0 + x1, y0 + y1]) / 2, centre)
    torch.testing.assert_close(torch.stack([x1 - x0, y1 - y0]), size[0, :, row, column] * CLUSTER_STRIDE)


def test_units_of_the_grain_do_not_depend_on_the_scanners_gain_and_stop_at_the_mask():
    generator = torch.Generator().manual_seed(3)
    mask = torch.zeros(1, 1, 160, 160)
    mask[..., :100] = 1
    tissue = torch.linspace(0.2, 0.6, 160).expand(1, 1, 160, 160)
    grey = (tissue + 0.02 * torch.randn((1, 1, 160, 160), generator=generator)) * mask
    grey[0, 0, 80, 40] += 0.2
    units = GrainUnits()(grey, mask)
    assert (units[..., 100:] == 0).all()
    assert units[0, 0, 80, 40] == units[0, 0].max()
    assert 4 * units[0, 0, :, 16:80].std() == pytest.approx(1.2, abs=0.2)
    torch.testing.assert_close(GrainUnits()((0.3 * grey + 0.1) * mask, mask), units, atol=1e-2, rtol=1e-3)


def test_a_blurred_calcification_is_no_tissue_to_the_wider_unit():
    place = torch.arange(160.0)
    blob = torch.exp(-((place[:, None] - 80) ** 2 + (place[None, :] - 72) ** 2) / (2 * 4.4**2))
    grain = 0.02 * torch.randn((160, 160), generator=torch.Generator().manual_seed(4))
    close, wide = GrainUnits()((0.4 + 0.2 * blob + grain)[None, None], torch.ones(1, 1, 160, 160))[0]
    assert wide[78:83, 70:75].mean() > 1.5 * close[78:83, 70:75].mean()


@torch.no_grad()
def test_the_map_of_the_second_look_adds_up_to_its_logit():
    torch.manual_seed(2)
    network = SecondLook(4).eval()
    torch.nn.init.constant_(network.cam.bias, 0.3)
    logit, cam = network(torch.rand(3, 1, 96, 96))
    assert cam.shape == (3, 1, 6, 6)
    torch.testing.assert_close(cam.mean(dim=(1, 2, 3)) + 0.3, logit)
