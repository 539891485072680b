# SPDX-License-Identifier: Apache-2.0
"""The networks at 0.1 mm: marks are the peaks of the heat, and the second look's map adds up to its logit."""

import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.networks.cluster_detector import (  # noqa: E402
    CLUSTER_STRIDE,
    ClusterDetector,
    ClusterDetectorGraph,
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


@torch.no_grad()
def test_the_map_of_the_second_look_adds_up_to_its_logit():
    torch.manual_seed(2)
    network = SecondLook(4).eval()
    torch.nn.init.constant_(network.cam.bias, 0.3)
    logit, cam = network(torch.rand(3, 1, 96, 96))
    assert cam.shape == (3, 1, 6, 6)
    torch.testing.assert_close(cam.mean(dim=(1, 2, 3)) + 0.3, logit)
