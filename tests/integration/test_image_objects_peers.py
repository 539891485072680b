# SPDX-License-Identifier: Apache-2.0
"""Image-like results at an archive and in DCMTK's renderer of presentation states."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from harness.dcmtk import run
from harness.orthanc import Orthanc
from harness.studies import COLUMNS, ROWS, context_of, result_of, source_dataset, stored
from service.domain.instance import Instance
from service.domain.result import Finding, Outcome, Presence, Priority, Region
from service.ports import EncodedObject, ResultKind
from service.results import ENCODERS
from service.settings import DestinationSettings
from service.transport.store_scu import StoreScu

pytestmark = pytest.mark.peers
BOX = (60, 100, 110, 180)
"""Left, top, right, bottom of what is bright in the source image, as half-open ranges of pixels."""
KINDS = (
    ResultKind.HEATMAP,
    ResultKind.PRESENTATION_STATE,
    ResultKind.SEGMENTATION,
    ResultKind.PARAMETRIC_MAP,
    ResultKind.KEY_OBJECTS,
)


def test_orthanc_stores_each_object_and_knows_it_when_it_comes_again(orthanc: Orthanc, tmp_path: Path) -> None:
    sources = tuple(stored(source_dataset("CT", number), tmp_path / "s") for number in (1, 2))
    context = context_of(*sources, priority=Priority.URGENT)
    result = result_of("CT", sources, Outcome.FINDINGS)
    made = [entry for kind in KINDS for entry in ENCODERS[kind](result, context, tmp_path / "first")]
    entries = [entry for entry in made if entry.rank == 0]
    settings = DestinationSettings(name="pacs", ae_title="ORTHANC", host="127.0.0.1", port=orthanc.dicom_port)
    statuses = StoreScu(settings, ae_title="DOKUEI").send(entries)
    assert statuses == {entry.sop_instance_uid: 0 for entry in entries}
    assert {str(entry.kind) for entry in entries} == {str(kind) for kind in KINDS}
    for kind in KINDS:
        for entry in ENCODERS[kind](result, context, tmp_path / "again"):
            if entry.rank == 0:
                assert status_of(orthanc, entry) == "AlreadyStored"
    assert len(orthanc.instances()) == len(entries)
    assert len(orthanc.studies()) == 1


def status_of(orthanc: Orthanc, entry: EncodedObject) -> str:
    answer = json.loads(orthanc.request("/instances", method="POST", body=entry.path.read_bytes()))
    return str(answer["Status"])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_dcmtk_finds_the_outline_where_the_finding_is_bright(photometric: str, tmp_path: Path) -> None:
    """dcmp2pgm draws the grey scale and says where outlines are: they must meet on the rendered picture."""
    source = bright_box(photometric, tmp_path / "s")
    state = presentation_state(source, tmp_path)
    rendered, said = render(source, state, tmp_path)
    (outline,) = re.findall(r"coordinates: (.*)", said)
    points = np.array([[float(value) for value in pair.split("\\")] for pair in outline.strip(" ,").split(", ")])
    left, top, right, bottom = (*points.min(axis=0), *points.max(axis=0))
    assert (left, top, right, bottom) == BOX
    columns, rows = np.arange(rendered.shape[1]) + 0.5, np.arange(rendered.shape[0]) + 0.5
    inside = ((rows > top) & (rows < bottom))[:, None] & ((columns > left) & (columns < right))
    assert rendered.shape == (ROWS["CR"], COLUMNS["CR"])
    assert rendered[inside].min() > 200, "every pixel whose centre lies within the outline is bright"
    assert rendered[~inside].max() < 60, "and no other one is"


def bright_box(photometric: str, folder: Path) -> Instance:
    left, top, right, bottom = BOX
    shown = np.full((ROWS["CR"], COLUMNS["CR"]), 200)
    shown[top:bottom, left:right] = 3900
    dataset = source_dataset("CR")
    dataset.PhotometricInterpretation = photometric
    pixels = 4095 - shown if photometric == "MONOCHROME1" else shown
    dataset.add_new("PixelData", "OW", pixels.astype("<u2").tobytes())
    return stored(dataset, folder)


def presentation_state(source: Instance, folder: Path) -> Path:
    left, top, right, bottom = map(float, BOX)
    result = result_of("CR", (source,), Outcome.FINDINGS)
    finding: Finding = replace(
        result.findings[0],
        presence=Presence.PRESENT,
        region=Region.box(source.sop_instance_uid, x0=left, y0=top, x1=right, y1=bottom),
    )
    marked = replace(result, findings=(finding,))
    (entry,) = ENCODERS[ResultKind.PRESENTATION_STATE](marked, context_of(source), folder)
    return entry.path


def render(source: Instance, state: Path, folder: Path) -> tuple[NDArray[np.uint8], str]:
    picture = folder / "rendered.pgm"
    result = run(["dcmp2pgm", "-ll", "info", "-p", str(state), str(source.path), str(picture)])
    assert result.returncode == 0, result.stderr
    return np.asarray(Image.open(picture)), result.stdout + result.stderr


@pytest.mark.parametrize("modality", ["CR", "MG", "CT"])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_dcmtk_finds_no_fault_in_a_presentation_state(modality: str, outcome: Outcome, tmp_path: Path) -> None:
    sources = tuple(stored(source_dataset(modality, number), tmp_path / "s") for number in (1, 2))
    states = ENCODERS[ResultKind.PRESENTATION_STATE](
        result_of(modality, sources, outcome), context_of(*sources), tmp_path
    )
    assert states
    for entry in states:
        result = run(["dcmpschk", str(entry.path)])
        lines = (result.stdout + result.stderr).splitlines()
        assert lines[-1].endswith("Test passed."), lines
