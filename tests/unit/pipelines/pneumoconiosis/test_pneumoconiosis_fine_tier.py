# SPDX-License-Identifier: Apache-2.0
"""A package may read zones at 0.25 mm in place of 0.5 mm: its parameters say so, and nothing else in the node.

The graph of the test is the shipped one behind a mean over 2 x 2 pixels, so that both packages must say the same.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from harness.shipped import shipped
from models.packaging import GraphSource, write_package
from models.phantoms.chest_radiograph.film import anatomy, radiograph, stored
from models.phantoms.chest_radiograph.opacities import ZONES, Disease
from models.phantoms.dicom import PhantomStudy, write_dx
from models.repack import about_of, kept_graphs
from service.domain.instance import Instance
from service.domain.result import PipelineResult
from service.domain.study import Selection
from service.inference.package import LoadedPackage, load_package
from service.inference.package_files import read_package
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline

PITCH_MM, CROP = 0.25, 576
DISEASE = Disease(levels=dict.fromkeys(ZONES, 8), primary="q", secondary="q")


def finer(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put a mean over 2 x 2 pixels before a graph of zones."""
    (zones,) = model.graph.input
    pooled = helper.make_node("AveragePool", ["zones"], ["zones_at_half"], kernel_shape=[2, 2], strides=[2, 2])
    for node in model.graph.node:
        node.input[:] = ["zones_at_half" if name == "zones" else name for name in node.input]
    model.graph.node.insert(0, pooled)
    for dimension in zones.type.tensor_type.shape.dim[2:]:
        dimension.dim_value = CROP
    del model.graph.value_info[:]
    return model


@pytest.fixture(scope="module")
def fine_package(tmp_path_factory: pytest.TempPathFactory) -> LoadedPackage:
    folder = tmp_path_factory.mktemp("fine")
    files = read_package(shipped("pneumoconiosis-demo"))
    graphs = kept_graphs(files, folder)
    old = graphs["zones"]
    path = folder / "zones_fine.onnx"
    onnx.save(finer(onnx.load(old.path)), path)
    golden = [({"zones": inputs["zones"].repeat(2, axis=2).repeat(2, axis=3)}, out) for inputs, out in old.golden]
    source = GraphSource(path=path, golden=golden, tolerance=old.tolerance, tensors=old.tensors)
    about = about_of(files)
    about["parameters"] |= {"pixel_mm": PITCH_MM, "crop_size": CROP}
    packed = write_package(
        folder / "packages",
        about | {"refuses_noise": False},
        graphs={**graphs, "zones": source},
        licence_text="Apache-2.0",
        model_card="# Zones at 0.25 mm, for a test",
    )
    return load_package(packed, provider="cpu")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory, as_instance: Callable[[Path], Instance]) -> Instance:
    body = anatomy(12, shape=(1680, 1520), pitch_mm=PITCH_MM)
    pixels = stored(radiograph(body, disease=DISEASE, seed=1))
    path = tmp_path_factory.mktemp("film") / "film.dcm"
    return as_instance(write_dx(path, pixels, study=PhantomStudy(seed="fine"), pixel_spacing_mm=PITCH_MM))


def read(instance: Instance, package: LoadedPackage) -> PipelineResult:
    pipeline = PneumoconiosisPipeline()
    selection = pipeline.select([instance], {**package.acceptance, "pixel_spacing_max_mm": 0.3})
    assert isinstance(selection, Selection), selection
    return pipeline.run(selection, package, analysed_at=datetime(2026, 4, 1, tzinfo=UTC))


def test_zones_are_read_at_a_quarter_of_a_millimetre_and_come_to_the_same(
    instance: Instance, package: LoadedPackage, fine_package: LoadedPackage
) -> None:
    usual, fine = read(instance, package), read(instance, fine_package)
    assert (fine.outcome, fine.headline) == (usual.outcome, usual.headline)
    steps = [[result.values[f"zone_{zone}_expected_step"] for zone in ZONES] for result in (usual, fine)]
    assert min(steps[0]) > 1  # there is something to differ about
    np.testing.assert_allclose(steps[1], steps[0], atol=1.5)  # of 12; a mask's border lies half a pixel elsewhere
    assert np.mean(steps[1]) == pytest.approx(np.mean(steps[0]), abs=0.4)
    for one, other in zip(usual.findings, fine.findings, strict=True):
        assert other.region.bounds == pytest.approx(one.region.bounds, abs=8), one.key  # 2 mm
    assert fine.values["energy_in_lungs"] == pytest.approx(usual.values["energy_in_lungs"], abs=0.03)
    maps = usual.heatmaps[0].overlay, fine.heatmaps[0].overlay[::2, ::2]
    assert maps[0].shape == maps[1].shape
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.95
