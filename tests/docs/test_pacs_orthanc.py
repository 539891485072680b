# SPDX-License-Identifier: Apache-2.0
"""docs/pacs/orthanc.md, done word for word: Orthanc with the shipped files, a study, commitment, DICOMweb."""

import json
import re
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import ROOT, Command, blocks
from doc_sandbox import Sandbox
from doc_table import classified

from harness.orthanc import Orthanc, dicomweb_options
from harness.phantom import PhantomStudy
from harness.processes import wait_until

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]
PAGE = ROOT / "docs" / "pacs" / "orthanc.md"
DEPLOY = ROOT / "deploy" / "orthanc"
FILM = "1-chest-film-with-dust-opacities"


def shipped() -> dict[str, Any]:
    """deploy/orthanc/orthanc.json, without its comments; ports and modalities are the test's."""
    text = re.sub(r"^\s*//.*$", "", (DEPLOY / "orthanc.json").read_text(), flags=re.MULTILINE)
    document = dict(json.loads(text))
    assert document.pop("DicomPort") == 4242
    assert document.pop("DicomModalities") == {"dokuei": ["DOKUEI", "127.0.0.1", 11112]}
    assert document["LuaScripts"] == ["dokuei.lua"]
    return {**document, "LuaScripts": [str(DEPLOY / "dokuei.lua")]}


def archive(folder: Path, node_port: int) -> Orthanc:
    modalities = {"dokuei": ("DOKUEI", node_port)}
    return Orthanc(folder, modalities=modalities, options={**shipped(), **dicomweb_options()})


def configuration() -> str:
    text = next(block.text for block in blocks(PAGE) if block.language == "yaml")
    quick = "inference: {self_test_studies: false}\nclose: {quiet_seconds: 4, settle_seconds: 1}\n"
    return text.replace("storage: {folder", quick + "storage: {reserve_bytes: 100000000, folder")


def test_the_page_does_what_it_says(tmp_path: Path, phantom_study: PhantomStudy) -> None:
    sandbox = Sandbox(tmp_path / "site")
    orthanc = archive(tmp_path / "orthanc", sandbox.ports["11112"])
    sandbox.ports |= {"4242": orthanc.dicom_port, "8042": orthanc.http_port}
    (sandbox.folder / "config.yaml").write_text(sandbox.translated(configuration()))
    shutil.copytree(phantom_study(FILM), sandbox.folder / "studies")
    orthanc.start()
    try:
        sandbox.serve(Command("orthanc.md", "dokuei run config.yaml"))
        try:
            for block, commands in classified():
                if block.document == "docs/pacs/orthanc.md":
                    for done in sandbox.execute([(command, row) for command, row in commands if row]):
                        assert done.status == done.command.status, f"{done.command.place}\n{done.output}"
                        told = done.output
            assert '"00080060"' in told, "the series of reports, by DICOMweb"
            wait_until(lambda: committed(sandbox) > 0, seconds=60, what="nothing is committed")
            assert refused(sandbox) == []
        finally:
            assert sandbox.stop() == 0
    finally:
        orthanc.stop()


def metrics(sandbox: Sandbox) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{sandbox.ports['9180']}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def committed(sandbox: Sandbox) -> float:
    text = metrics(sandbox)
    return sum(map(float, re.findall(r'^dokuei_commitment_total\{.*"committed".*\} ([0-9.]+)', text, re.MULTILINE)))


def refused(sandbox: Sandbox) -> list[str]:
    return re.findall(r"^dokuei_delivery_refused\{.*\} [1-9].*", metrics(sandbox), re.MULTILINE)
