# SPDX-License-Identifier: Apache-2.0
"""The image score is explained by its map, and marks are the peaks of the heat map inside the breast."""

import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.networks.mass_detector import HEAT_STRIDE, MassDetector, MassDetectorGraph  # noqa: E402


@pytest.fixture
def detector() -> MassDetector:
    torch.manual_seed(7)
    detector = MassDetector().eval()
    torch.nn.init.constant_(detector.heat[1].bias, 0.0)  # untrained heat above the lowest score
    return detector


@torch.no_grad()
def test_the_map_decomposes_the_image_score(detector):
    image = torch.rand(2, 2, 96, 64)
    _, _, _, logit, cam, _ = detector(image)
    assert cam.shape == (2, 1, 6, 4)
    torch.testing.assert_close(cam.mean(dim=(2, 3)) + detector.cam.bias, logit)
    assert cam.std() > 0


@torch.no_grad()
def test_marks_are_peaks_of_the_heat_inside_the_breast(detector):
    image = torch.rand(2, 2, 96, 64)
    image[:, 1] = 0
    image[:, 1, :, :40] = 1
    heat, offset, size, marks, logit, cam, feature = MassDetectorGraph(detector, marks=5)(image)
    assert (heat[..., 5:] == 0).all()
    assert marks.shape == (2, 5, 6)
    assert logit.shape == (2,)
    assert (cam.shape, feature.shape[0]) == ((2, 1, 6, 4), 2)
    for index in range(2):
        top = heat[index, 0].flatten().argmax()
        row, column = divmod(int(top), heat.shape[3])
        x0, y0, x1, y1, score, _ = marks[index, 0]
        assert score == heat[index].max()
        centre = torch.stack([column + offset[index, 0, row, column], row + offset[index, 1, row, column]])
        torch.testing.assert_close(torch.stack([x0 + x1, y0 + y1]) / 2, centre * HEAT_STRIDE)
        torch.testing.assert_close(torch.stack([x1 - x0, y1 - y0]), size[index, :, row, column] * HEAT_STRIDE)


@torch.no_grad()
def test_neighbours_of_a_peak_are_no_marks(detector):
    graph = MassDetectorGraph(detector, marks=20)
    image = torch.rand(1, 2, 96, 64).round()
    image[:, 1] = 1
    (
        heat,
        *_,
    ) = graph(image)
    marks = graph(image)[3][0]
    kept = marks[marks[:, 4] > 0]
    values = heat.flatten()
    cells = [int((values == score).nonzero()[0]) for score in kept[:, 4]]
    places = [divmod(cell, heat.shape[3]) for cell in cells]
    for first in range(len(places)):
        for second in range(first):
            apart = [abs(a - b) for a, b in zip(places[first], places[second], strict=True)]
            assert max(apart) > 1


@torch.no_grad()
def test_every_class_has_its_own_peaks_and_marks_say_which(detector):
    torch.manual_seed(3)
    detector = MassDetector(4, classes=2).eval()
    torch.nn.init.constant_(detector.heat[1].bias, 0.0)
    image = torch.ones(1, 2, 96, 64)
    image[:, 0] = torch.rand(96, 64)
    heat, _, _, marks, *_ = MassDetectorGraph(detector, marks=10)(image)
    assert heat.shape == (1, 2, 12, 8)
    assert set(marks[0, :, 5].tolist()) == {0.0, 1.0}
    for *_, score, channel in marks[0].tolist():
        assert score in heat[0, int(channel)]
    assert marks[0, 0, 4] == heat.max()


@torch.no_grad()
def test_members_are_averaged_and_their_map_still_adds_up():
    torch.manual_seed(4)
    members = [MassDetector(4, classes=2).eval() for _ in range(2)]
    image = torch.ones(2, 2, 96, 64)
    image[:, 0] = torch.rand(2, 96, 64)
    heat, offset, _, _, logit, cam, feature = MassDetectorGraph(*members)(image)
    alone = [MassDetectorGraph(member)(image) for member in members]
    torch.testing.assert_close(heat, (alone[0][0] + alone[1][0]) / 2)
    torch.testing.assert_close(offset, (alone[0][1] + alone[1][1]) / 2)
    torch.testing.assert_close(feature, torch.cat([alone[0][6], alone[1][6]], dim=1))
    bias = (members[0].cam.bias + members[1].cam.bias) / 2
    torch.testing.assert_close(cam.mean(dim=(1, 2, 3)) + bias, logit)
    outputs, depths = MassDetectorGraph(*members).with_depths(image)
    torch.testing.assert_close(outputs[0], heat)
    assert depths["deep"].shape == (2, 32)
