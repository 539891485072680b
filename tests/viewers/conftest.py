# SPDX-License-Identifier: Apache-2.0
"""An archive full of phantom studies and real results, an origin that serves viewers beside it, and a browser."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive import STUDIES, Study, analyse, destination_of, fill, read_studies
from dwv import PAGES, Dwv
from ohif import CONFIGURATION, Ohif
from origin import Origin
from playwright.sync_api import Browser, Page

from harness.browser import CHROMIUM, new_page, running_browser
from harness.node import NodeProgram
from harness.orthanc import DICOMWEB_PLUGIN, Orthanc, dicomweb_options
from harness.phantom import PhantomStudy

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / "build" / "viewers" / "node_modules"
WEB_VIEWER_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancWebViewer.so")
NEEDED = {
    "chromium": CHROMIUM and Path(CHROMIUM),
    "orthanc-dicomweb": DICOMWEB_PLUGIN,
    "orthanc-webviewer": WEB_VIEWER_PLUGIN,
    "dwv": PACKAGES / "dwv" / "dist" / "dwv.min.js",
    "@ohif/app": PACKAGES / "@ohif" / "app" / "dist" / "index.html",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of viewers, naming what is missing."""
    missing = [name for name, path in NEEDED.items() if path is None or not path.exists()]
    if not missing:
        return
    skip = pytest.mark.skip(reason=f"VIEWERS MISSING: {', '.join(missing)}; run make peers")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def studies(phantom_study: PhantomStudy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    """Phantom studies with what a node made of them, analysed once for all workers."""
    (phantoms,) = {phantom_study(name).parent for name in STUDIES}
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "viewers"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "analysed").exists():
            _analyse(phantoms, place)
            (place / "analysed").touch()
    return read_studies(phantoms, place / "results")


def _analyse(phantoms: Path, place: Path) -> None:
    archive = Orthanc(place / "archive")
    archive.start()
    address = (archive.ae_title, archive.dicom_port)
    node = NodeProgram(place / "node", pacs=address, changes={"destinations": [destination_of(archive)]})
    node.start()
    try:
        analyse(phantoms, place / "results", node=node, archive=archive)
    finally:
        node.stop()
        archive.stop()


@pytest.fixture(scope="session")
def archive(studies: dict[str, Study], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc with DICOMweb and its web viewer that holds the studies and their results."""
    options = dicomweb_options()
    options["Plugins"].append(str(WEB_VIEWER_PLUGIN))
    orthanc = Orthanc(tmp_path_factory.mktemp("archive"), options=options)
    orthanc.start()
    fill(orthanc, studies)
    yield orthanc
    orthanc.stop()


@pytest.fixture(scope="session")
def origin(archive: Orthanc) -> Iterator[str]:
    """The URL at which viewers and the archive are reached."""
    folders = {"/": PACKAGES / "@ohif" / "app" / "dist", "/packages/": PACKAGES}
    server = Origin(archive.http_port, folders=folders, pages={"/app-config.js": CONFIGURATION, **PAGES})
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; not for the session: Playwright leaves an event loop in the thread, beside which no node can start."""
    with running_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with new_page(browser) as opened:
        yield opened


@pytest.fixture
def ohif(page: Page, origin: str) -> Ohif:
    return Ohif(page, origin)


@pytest.fixture
def dwv(page: Page, origin: str) -> Dwv:
    return Dwv(page, origin)
