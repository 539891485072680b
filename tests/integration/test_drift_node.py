# SPDX-License-Identifier: Apache-2.0
"""A hospital's gateway begins to halve windows: the alarm is in the metrics, and later reports say so in words.

One mammogram is sent again and again, each time as another patient's with a slightly other window; the package's
reference is of such images.
"""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.packages import change_manifest
from models.drift.reference import manifest_section
from models.drift.studies import instance_of
from service.cli.app import app
from service.domain.drift import Monitored
from service.domain.study import Selection
from service.drift.reference import make_reference
from service.inference.package import default_packages_folder, load_package
from service.pipelines import PIPELINES
from service.pipelines.monitored import monitored
from service.settings import Settings

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]

PIPELINE = "mammography"
CHOICE = Settings().pipelines[PIPELINE]
LEAST = 10
WATCHED = ("level", "contrast", "noise", "score", "manufacturer")
AT = datetime(2026, 1, 1, tzinfo=UTC)
StartNode = Callable[..., NodeProgram]


@pytest.fixture(scope="module")
def image() -> Path:
    return default_packages_folder() / CHOICE.package / CHOICE.version / "golden" / "clear" / "r-cc.dcm"


def write(image: Path, folder: Path, number: int, rng: np.random.Generator, *, narrower: float = 1.0) -> Path:
    """Write the image as that of another study, its window some per cent wider or narrower."""
    dataset = dcmread(image)
    dataset.PixelData = dataset.pixel_array.astype("<u2").tobytes()  # dcmsend refuses 8 bits of JPEG-LS in 16
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, f"2.25.{number * 10 + len(keyword)}")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID = f"PHANTOM-{number}"
    dataset.WindowWidth = float(dataset.WindowWidth) * float(np.exp(0.06 * rng.standard_normal())) * narrower
    folder.mkdir(exist_ok=True)
    path = folder / f"{number}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def packages(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped package without its limits, which refuse some of the stream, and with a reference of that stream."""
    root, rng = tmp_path_factory.mktemp("packages"), np.random.default_rng(1)
    folder = root / CHOICE.package / CHOICE.version
    shutil.copytree(default_packages_folder() / CHOICE.package / CHOICE.version, folder)
    change_manifest(folder, lambda manifest: [manifest.pop(key) for key in ("out_of_distribution", "refuses_noise")])
    found = list(_measured(folder, [write(image, root / "files", number, rng) for number in range(24)]))
    draws = [_near(found, rng) for _ in range(300)]
    change_manifest(
        folder, lambda manifest: manifest.update(manifest_section(make_reference(draws, source="a stream")))
    )
    return root


def _measured(folder: Path, paths: list[Path]) -> Iterator[Monitored]:
    package = load_package(folder, provider="cpu")
    for path in paths:
        instances = (instance_of(path),)
        result = PIPELINES[PIPELINE].run(Selection(instances=instances), package, analysed_at=AT)
        yield monitored(result, instances)


def _near(found: list[Monitored], rng: np.random.Generator) -> Monitored:
    """Return one of the studies, a little moved: a smoothed bootstrap."""
    one = found[int(rng.integers(len(found)))]
    spread = {name: float(np.std([item.numbers[name] for item in found])) for name in WATCHED if name in one.numbers}
    numbers = {name: one.numbers[name] + 0.4 * value * rng.standard_normal() for name, value in spread.items()}
    return Monitored(numbers=numbers, words={"manufacturer": one.manufacturer})


def gauges(node: NodeProgram) -> dict[str, float]:
    """Return the gauge of the alarm by kind."""
    lines = [line for line in node.http("/metrics")[1].splitlines() if line.startswith("dokuei_drift_alarm{")]
    return {line.split('kind="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def said_of(orthanc: Orthanc, folder: Path, study: Path) -> str:
    """Return every text of the reports of a study."""
    uid = dcmread(study, stop_before_pixels=True).StudyInstanceUID
    found = [dcmread(path) for path in orthanc.save_files(folder)]
    items = [item for item in found if item.StudyInstanceUID == uid and item.Modality == "SR"]
    assert items
    return "\n".join(str(element.value) for item in items for element in item.iterall() if element.VR == "UT")


def test_a_shift_is_in_the_metrics_and_in_later_reports(
    orthanc: Orthanc, start_node: StartNode, packages: Path, image: Path, tmp_path: Path
) -> None:
    node = start_node(
        orthanc,
        pipelines={PIPELINE: {"package": CHOICE.package, "version": CHOICE.version}},
        rules=[{"name": "mg", "when": {"attribute": "Modality", "equals": "MG"}, "pipelines": [PIPELINE]}],
        inference={"packages_folder": str(packages)},
        drift={"least_studies": LEAST},
        close={"quiet_seconds": 1, "settle_seconds": 1},
    )
    rng = np.random.default_rng(2)
    usual = [write(image, tmp_path / "usual", 100 + number, rng) for number in range(LEAST + 2)]
    assert dcmsend(node.called, usual).returncode == 0
    node.wait_for_results(len(usual), seconds=240)
    assert gauges(node) == dict.fromkeys(("metadata", "pixels", "outputs", "embeddings", "refusals"), 0.0)
    assert "dokuei_score_psi{" in node.http("/metrics")[1]

    broken = [write(image, tmp_path / "broken", 200 + number, rng, narrower=0.5) for number in range(LEAST)]
    assert dcmsend(node.called, broken).returncode == 0
    node.wait_for_results(len(usual) + len(broken), seconds=240)
    assert gauges(node)["pixels"] == 1.0
    assert gauges(node)["metadata"] == 0.0
    (event, *_) = node.events("drift_alarm_raised")
    assert event["level"] == "error"

    last = write(image, tmp_path / "last", 300, rng)
    assert dcmsend(node.called, [last]).returncode == 0
    node.wait_for_results(len(usual) + len(broken) + 1, seconds=120)
    assert "performance not assured" in said_of(orthanc, tmp_path / "reports", last)
    assert "performance not assured" not in said_of(orthanc, tmp_path / "reports", usual[0])
    result = CliRunner().invoke(app, ["drift", "list", str(node.config)])
    assert (result.exit_code, "alarm" in result.output) == (1, True)
