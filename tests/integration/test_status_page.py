# SPDX-License-Identifier: Apache-2.0
"""The status page of a real node, in a real browser: both languages, both databases, with and without identity."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from playwright.sync_api import Page

from fakes import ct_dataset, incoming
from harness.authority import Authority
from harness.browser import CHROMIUM, running_browser
from harness.ledgers import EVERY_STATE, fill
from harness.processes import free_port
from harness.status_page import PASSWORD, Served, basic, serving
from node import SETTINGS, Node, running
from service.audit import Reporter
from service.audit.xml import Source
from service.bootstrap.node import Node as RealNode
from service.bootstrap.serving import Serving
from service.bootstrap.status_page import GoldenMemory, patient_name, status_pages
from service.observability.health import Health
from service.ports import StoreOutcome
from service.settings import AuditSettings, HttpSettings, Settings, TlsClientSettings, ViewerSettings
from service.web.passwords import viewer_line
from service.workflow import AuditTrail

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="PEERS MISSING: chromium; run tests/install_peers.sh")
SCHEMA = Path(__file__).parents[1] / "unit" / "audit" / "audit-message.rng"
PATIENT_NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"
SHOWN_NAME = "Yamada Tarou / 山田 太郎 / やまだ たろう"
WIDTH_AT_200_PERCENT = 640
PACE_MS = 210
"""Between two pages: the node makes five in a second."""


def settings_of(folder: Path) -> Settings:
    """A node's settings with a page, viewers and an audit trail."""
    viewers = folder / "viewers"
    viewers.write_text(viewer_line("dr.sato", PASSWORD) + "\n")
    viewers.chmod(0o640)
    http = HttpSettings.model_construct(status_page=True, viewers=ViewerSettings(passwords_file=viewers), tls=None)
    audit = AuditSettings(host="collector", tls=TlsClientSettings(trusted=folder / "ca.pem"))
    storage = SETTINGS.storage.model_copy(update={"folder": folder / "data"})
    return SETTINGS.model_copy(update={"http": http, "audit": audit, "storage": storage})


@contextmanager
def serving_node(folder: Path, database_url: str | None) -> Iterator[tuple[Node, Served]]:
    """Run a node that has analysed a study of its own, and serve its page beside studies in every state."""
    settings = settings_of(folder)
    settings = settings.model_copy(
        update={"storage": settings.storage.model_copy(update={"database_url": database_url})}
    )
    reporter = Reporter(process_id="1", ae_title="DOKUEI", host="node", source=Source(id="DOKUEI"))
    trail = AuditTrail(settings, reporter)
    never = 3600.0  # a reconciler would take up what the ledger is filled with
    options = {"settings": settings, "database_url": database_url, "audit": trail, "reconcile_seconds": never}
    with running(folder, **options) as node:
        for number in (1, 2):
            dataset = ct_dataset(1, number)
            dataset.SpecificCharacterSet = "ISO_IR 192"
            dataset.PatientName = PATIENT_NAME
            assert node.receive(incoming(dataset)) is StoreOutcome.STORED
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        fill(node.database, node.parts.now())
        pages = status_pages(
            node.parts,
            serving=Serving(node.observer),
            health=Health(),
            golden=GoldenMemory(),
            pipelines=tuple(node.parts.settings.pipelines),
        )
        with pages as site, serving(site, authority=Authority(folder / "authority")) as served:
            yield node, served


@pytest.fixture
def place(tmp_path: Path, database_url: str | None) -> Iterator[tuple[Node, Served]]:
    with serving_node(tmp_path, database_url) as found:
        yield found


class Watch:
    """What a page asks for, and what it complains of."""

    def __init__(self, page: Page, allowed: tuple[str, ...]) -> None:
        self.strangers: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self._asked(request.url, allowed))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _asked(self, url: str, allowed: tuple[str, ...]) -> None:
        if not url.startswith((*allowed, "data:,")):
            self.strangers.append(url)


@contextmanager
def looking(served: Served, **options: Any) -> Iterator[Page]:
    """Open a browser at the page; anything fetched elsewhere, and any complaint, fails the test."""
    with running_browser() as browser:
        context = browser.new_context(ignore_https_errors=True, **options)
        page = context.new_page()
        watch = Watch(page, (served.plain, served.secure))
        yield page
        context.close()
    assert (watch.strangers, watch.complaints) == ([], [])


def test_everybody_sees_every_state_and_nobody_whose_it_is(place: tuple[Node, Served]) -> None:
    node, served = place
    with looking(served, locale="ja-JP", java_script_enabled=False, viewport={"width": 1280, "height": 900}) as page:
        page.goto(f"{served.plain}/status/")
        assert page.locator("h1").inner_text() == "状態"
        rows = page.locator("#studies tbody tr")
        assert rows.count() == EVERY_STATE + 1
        assert "緊急" in rows.nth(0).inner_text()
        page.get_by_role("link", name="English").click()
        assert page.locator("h1").inner_text() == "Status"
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the content"
        _visit_every_study(page)
        page.set_viewport_size({"width": WIDTH_AT_200_PERCENT, "height": 450})
        page.goto(f"{served.plain}/status/")
        box = page.locator("main").bounding_box()
        assert box is not None
        assert box["width"] <= WIDTH_AT_200_PERCENT
    assert node.rows("select count(*) from audit_message where text like '%110111%'") == [(0,)]


def _visit_every_study(page: Page) -> None:
    links = page.locator("#studies tbody th a")
    places = [links.nth(number).get_attribute("href") for number in range(links.count())]
    base = page.url.partition("?")[0]
    for place in places:
        page.wait_for_timeout(PACE_MS)
        page.goto(f"{base}{place}")
        assert page.locator("#entries tbody tr").count() > 0
        text = page.content()
        assert not [word for word in ("KENSHIN", "Yamada", "19500102", "1.2.826.0.1.1") if word in text]


def test_a_viewer_signs_in_and_each_view_is_recorded(place: tuple[Node, Served]) -> None:
    node, served = place
    credentials = {"username": "dr.sato", "password": PASSWORD}
    with looking(served, locale="en-GB", java_script_enabled=False, http_credentials=credentials) as page:
        page.goto(f"{served.secure}/status/")
        page.get_by_role("link", name="Sign in").click()
        assert "Signed in as dr.sato" in page.locator("header").inner_text()
        assert "KENSHIN-0042" in page.locator("#studies").inner_text()
        page.locator("#studies tbody tr", has_text="P1\n").first.wait_for()
        page.goto(f"{served.secure}/status/study/1")
        assert page.locator("dd").nth(0).inner_text() == SHOWN_NAME
        entries = page.locator("#entries tbody th").all_inner_texts()
    assert entries[0] == "Received: 2 images from 'ct'"
    assert "Stored at 'pacs'" in entries
    texts = [text for (text,) in node.rows("select text from audit_message where text like '%110111%'")]
    assert len(texts) == EVERY_STATE + 1 + 1, "one for each patient of the list, one for the study"
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    for text in (texts[0], texts[-1]):
        schema.assertValid(etree.fromstring(text))
        assert 'UserID="dr.sato"' in text
    assert "Yamada" not in "".join(texts)


def test_a_wrong_password_is_told_so(place: tuple[Node, Served]) -> None:
    node, served = place
    answer, text = served.ask("/status/", secure=True, Authorization=basic("dr.sato", "wrong password"))
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="dokuei", charset="UTF-8"')
    assert "KENSHIN" not in text
    assert [event.reason for event in node.observer.events if type(event).__name__ == "ViewerRefused"] == [
        "credentials"
    ]


def test_a_name_that_cannot_be_read_is_no_error(tmp_path: Path) -> None:
    assert patient_name(tmp_path / "gone.dcm") == ""
    (tmp_path / "bad.dcm").write_bytes(b"\0" * 200)
    assert patient_name(tmp_path / "bad.dcm") == ""


def test_a_node_of_its_own_shows_its_package(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "node": {"host": "127.0.0.1", "port": free_port()},
            "storage": {"folder": tmp_path / "data", "reserve_bytes": 0},
            "destinations": [{"name": "pacs", "ae_title": "P", "host": "127.0.0.1", "port": 1}],
            "rules": [],
            "pipelines": {"pneumoconiosis": {"package": "pneumoconiosis-demo", "version": "0.2.0"}},
            "inference": {"self_test_studies": False},
            "site": {"allow_demonstration": True},
            "http": {"port": free_port(), "status_page": True},
        }
    )
    with RealNode(settings, lambda _event: None) as node:
        node.wait_warm(120)
        answer = urllib.request.urlopen(f"http://127.0.0.1:{settings.http.port}/status/?lang=en", timeout=10)
        text = answer.read().decode()
    assert "pneumoconiosis-demo 0.2.0" in text
    row = text[text.index("pneumoconiosis-demo 0.2.0") :].partition("</tr>")[0]
    assert "demonstration" in row
    assert "passed" in row
    assert "No study arrived in this time." in text
