# SPDX-License-Identifier: Apache-2.0
"""The pages show what the ledger has, escape whatever it has, and say nothing of whose it is unless they may."""

import http.client
import re
import socket
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from harness.authority import Authority
from harness.ledgers import EVERY_STATE, LedgerWriter
from harness.status_page import NOW, PASSWORD, Place, Recorded, Served, TwoDrifts, make_site, serving
from service.domain.entry import DeliveryState, JobState
from service.domain.errors import StorageError
from service.domain.fetch import FetchOutcome
from service.ports.pages import Page, Request
from service.ports.status_page import ModelState, Readiness
from service.settings import ProxySettings, ViewerSettings
from service.settings.results import Language
from service.storage import schema
from service.web import states
from service.web.pace import Turnstile
from service.web.rendering import STYLE_SHA256
from service.web.words import say_in

VIEWERS = ViewerSettings(proxy=ProxySettings.model_validate({"address": "127.0.0.1"}))
SIGNED_IN = {"x-remote-user": ("dr.sato",)}
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>{{ 7*7 }}{0.__class__}"
PATIENT = "KENSHIN-0042"


def get(site: Any, path: str = "/status/", query: str = "", *, signed_in: bool = False, **headers: str) -> Page:
    values = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    request = Request(
        path=path, query=query, headers={**values, **(SIGNED_IN if signed_in else {})}, address="127.0.0.1"
    )
    page = site(request)
    assert page is not None
    return page


class Balance(HTMLParser):
    """Checks that elements are closed in order, and collects what could run or be fetched."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.suspects: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in {"script", "img", "iframe", "object", "embed", "form", "input"}:
            self.suspects.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in {"src", "style", "action"}:
                self.suspects.append(f"{tag} {name}")
            if name == "href" and not re.match(r"(/status/|\?|study/\d|#main$|data:,$)", value or ""):
                self.suspects.append(f"{tag} href={value}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: Page) -> str:
    """Return the text of a page that is sound."""
    text = page.body.decode()
    balance = Balance(text)
    assert balance.open == []
    assert balance.suspects == []
    assert re.search(r"\bUndefined\b|\bNone\b", text) is None
    return text


@pytest.fixture
def site(place: Place, recorded: Recorded) -> Any:
    return make_site(place.storage, place.reading, recorded, VIEWERS, drift=TwoDrifts())


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_study_has_a_page_in_each_language(site: Any, language: str) -> None:
    pages = [checked(get(site, f"/status/study/{number}", f"lang={language}")) for number in range(1, EVERY_STATE + 1)]
    assert all(f'<html lang="{language}">' in page for page in pages)
    assert len(set(pages)) == EVERY_STATE


def test_the_list_is_in_triage_order(site: Any) -> None:
    text = checked(get(site, query="lang=en"))
    numbers = [int(number) for number in re.findall(r'href="study/(\d+)\?', text)]
    assert numbers == [8, *range(1, 8), *range(9, EVERY_STATE + 1)]
    first = text[text.index('class="first"') :].partition("</tr>")[0]
    assert "URGENT" in first
    assert "model score 0.93 is above the operating point" in first
    assert "Analysed: findings" in first
    assert "Profusion 2/1" in first
    assert "result after 25 s" in first
    assert "committed: 2" in first


@pytest.mark.parametrize(
    "words",
    [
        "receiving images",
        "complete, rules are applied next",
        "NO RULE MATCHED",
        "waiting for analysis",
        "being analysed",
        "analysis is repeated after a failure",
        "analysed, result being written",
        "NOT ANALYSED",
        "PARTLY ANALYSED",
        "FAILED: no result could be written",
        "stored, commitment asked for",
        "to send: 1",
        "REFUSED: 1",
        "kind not taken: 1",
        "HELD: 1",
        "ABANDONED",
        "NOT REACHABLE",
        "refused 1 objects",
        "golden output differs by 0.2",
        "runs on cpu, not on cuda",
        "other bytes under a known UID",
        "cut short",
        "ALARM",
        "0.310",
        "DEMONSTRATION - NOT FOR CLINICAL USE",
    ],
)
def test_the_overview_says(site: Any, words: str) -> None:
    assert words in checked(get(site, query="lang=en"))


def test_the_reason_of_a_gate_is_told_in_the_viewers_language(site: Any) -> None:
    english = checked(get(site, "/status/study/9", "lang=en"))
    assert "gate refused: (0018,5101) &#39;View Position&#39; is &#39;LL&#39;" in english
    japanese = checked(get(site, "/status/study/9", "lang=ja"))
    assert "条件により解析せず:" in japanese
    assert "解析されていません" in japanese


def test_without_a_monitor_of_drift_the_page_says_so(place: Place, recorded: Recorded) -> None:
    assert "No monitor is configured." in checked(get(make_site(place.storage, place.reading, recorded)))


def test_a_rule_that_makes_a_study_urgent_is_named(place: Place, recorded: Recorded) -> None:
    site = make_site(place.storage, place.reading, recorded, urgent_rules=frozenset({("film", "pneumoconiosis")}))
    assert "rule &#39;film&#39;" in checked(get(site))


@pytest.mark.parametrize("path", ["/status/", *(f"/status/study/{number}" for number in range(1, EVERY_STATE + 1))])
def test_no_identity_without_a_viewer(place: Place, recorded: Recorded, path: str) -> None:
    site = make_site(place.storage, place.reading, recorded, VIEWERS, patient_name=lambda _path: "YAMADA^TARO")
    text = get(site, path).body.decode()
    assert not [word for word in (PATIENT, "P1<", "A-P1", "19500102", "2.25.", "YAMADA") if word in text]
    assert recorded.views == []


def test_a_viewer_sees_identity_and_each_patient_is_audited(place: Place, recorded: Recorded) -> None:
    site = make_site(
        place.storage, place.reading, recorded, VIEWERS, patient_name=lambda _path: "YAMADA TARO / 山田 太郎"
    )
    listed = checked(get(site, signed_in=True))
    assert PATIENT in listed
    assert "YAMADA" not in listed, "names are shown one at a time"
    assert [view.patient_id for view in recorded.views].count(PATIENT) == 1
    assert len(recorded.views) == EVERY_STATE
    study = checked(get(site, "/status/study/8", signed_in=True))
    assert PATIENT in study
    assert "YAMADA TARO / 山田 太郎" in study
    last = recorded.views[-1]
    assert (last.viewer, last.address, last.patient_id, last.accession_number) == (
        "dr.sato",
        "127.0.0.1",
        PATIENT,
        f"A-{PATIENT}",
    )
    assert "http-equiv" not in listed, "a page that loads itself would be audited all night"


def test_what_cannot_be_audited_is_not_shown(place: Place, recorded: Recorded) -> None:
    recorded.failure = StorageError("disk full")
    site = make_site(place.storage, place.reading, recorded, VIEWERS)
    for path in ("/status/", "/status/study/8"):
        page = get(site, path, signed_in=True)
        assert page.status == 503
        assert PATIENT not in page.body.decode()


@pytest.fixture
def hostile_place(own_place: Place) -> Place:
    """A ledger in which every text that another system chose is hostile."""
    write = LedgerWriter(own_place.writing, first=1000)
    study = write.study(NOW - 60, patient=HOSTILE)
    job = write.job(
        study,
        write.close(study, NOW - 50, rule=HOSTILE, reason=HOSTILE),
        NOW - 60,
        JobState.FINISHED,
        headline=HOSTILE,
        refusals=[{"code": "x", "message": HOSTILE}],
        flags=[{"code": "x", "message": HOSTILE}],
        package_name=HOSTILE,
    )
    write.delivery(
        job, DeliveryState.REFUSED, NOW - 30, last_error=HOSTILE, destination=HOSTILE, kind=HOSTILE, proof=HOSTILE
    )
    with own_place.writing.begin() as connection:
        connection.execute(sa.update(schema.instance).values(calling_ae=HOSTILE, peer=HOSTILE))
        connection.execute(
            sa.update(schema.held_object).values(problems=[HOSTILE], kind=HOSTILE, destinations=[HOSTILE])
        )
        connection.execute(sa.update(schema.quarantine).values(reason=HOSTILE))
        connection.execute(sa.update(schema.notification).values(notifier=HOSTILE))
        connection.execute(sa.update(schema.commitment).values(destination=HOSTILE))
    return own_place


@pytest.mark.parametrize("language", ["en", "ja"])
def test_nothing_hostile_gets_through(hostile_place: Place, recorded: Recorded, language: str) -> None:
    model = ModelState(
        pipeline=HOSTILE, name=HOSTILE, version=HOSTILE, status=HOSTILE, sha256=HOSTILE, role=HOSTILE, problem=HOSTILE
    )
    site = make_site(
        hostile_place.storage,
        hostile_place.reading,
        recorded,
        VIEWERS,
        patient_name=lambda _path: HOSTILE,
        models=lambda: (model,),
        readiness=lambda: Readiness(problems={"x": HOSTILE}, notes={"y": HOSTILE}),
        destinations=(HOSTILE,),
        ae_title=HOSTILE,
    )
    paths = ["/status/", *(f"/status/study/{number}" for number in range(1, EVERY_STATE + 2))]
    texts = [
        checked(get(site, path, f"lang={language}", signed_in=signed)) for path in paths for signed in (True, False)
    ]
    assert all("<script" not in text and "{{ 7*7 }}" in text for text in texts[:2])
    assert "&lt;script&gt;" in texts[0]
    assert not [text for text in texts if ">49<" in text]


@pytest.mark.parametrize(
    "path",
    [
        "/status/study/0",
        "/status/study/01",
        "/status/study/-1",
        "/status/study/9999999999",
        "/status/study/1/",
        "/status/study/1%00",
        "/status/study/٣",
        "/status/../etc/passwd",
        "/status/%2e%2e/x",
        "/status//study/1",
        "/status/study/999",
        "/status/templates/home.html",
        "/status/sign-in",
        "/status/<script>",
    ],
)
def test_other_paths_are_not_found(site: Any, path: str) -> None:
    page = get(site, path)
    assert page.status == 404
    assert "<script" not in checked(page)


@pytest.mark.parametrize(
    "query",
    [
        "lang=fr",
        "hours=1000000",
        "hours=-1",
        "order=random",
        "after=x1",
        "after=u99999999999",
        "lang=en&lang=ja",
        "lang=" + "e" * 300,
        "&".join(f"a{number}=1" for number in range(20)),
        "after=u1'%20OR%201=1",
    ],
)
def test_odd_queries_are_refused(site: Any, query: str) -> None:
    assert get(site, query=query).status == 400


@pytest.mark.parametrize(
    ("accepts", "language"),
    [
        ("ja", "ja"),
        ("ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("en-US,en;q=0.9,ja;q=0.8", "en"),
        ("fr", "en"),
        ("en;q=0.1, ja;q=0.9", "ja"),
        ("ja;q=0", "en"),
        ("", "en"),
        ("," * 5000 + "ja", "en"),
        ("ja;q=nan", "en"),
    ],
)
def test_the_browsers_language(site: Any, accepts: str, language: str) -> None:
    assert f'<html lang="{language}">' in get(site, accept_language=accepts).body.decode()
    assert '<html lang="en">' in get(site, query="lang=en", accept_language=accepts).body.decode()


@pytest.mark.parametrize("path", ["/status/", "/status/study/8", "/status/nothing"])
def test_headers_forbid_everything_that_the_page_does_not_need(site: Any, path: str) -> None:
    headers = dict(get(site, path).headers)
    assert headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{STYLE_SHA256}'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in headers


def test_paths_that_are_not_the_pages_are_left_to_the_port(site: Any) -> None:
    assert site(Request(path="/metrics")) is None
    assert site(Request(path="/statusx/")) is None
    assert dict(get(site, "/").headers)["Location"] == "/status/"


def test_too_many_are_told_to_wait(place: Place, recorded: Recorded) -> None:
    site = make_site(place.storage, place.reading, recorded, turnstile=Turnstile(per_second=0, burst=2))
    statuses = [get(site).status for _ in range(4)]
    assert statuses == [200, 200, 503, 503]


def test_a_broken_ledger_is_a_page_too(place: Place, recorded: Recorded) -> None:
    class Broken:
        def worklist(self, *_: object) -> None:
            raise StorageError("2.25.1")

    page = get(make_site(place.storage, place.reading, recorded, ledger=Broken()))
    assert page.status == 503
    assert "2.25.1" not in checked(page)


def test_a_silent_client_on_the_tls_port_delays_nobody(site: Any, tmp_path: Path) -> None:
    with serving(site, authority=Authority(tmp_path / "authority")) as running:
        silent = [socket.create_connection(("127.0.0.1", running.server.tls_port), timeout=5) for _ in range(5)]
        started = time.monotonic()
        assert running.ask("/status/", secure=True)[0].status == 200
        assert time.monotonic() - started < 3
        for connection in silent:
            connection.close()


@pytest.fixture
def served(site: Any) -> Iterator[Served]:
    with serving(site) as running:
        yield running


def test_the_page_over_http(served: Served) -> None:
    answer, text = served.ask("/status/?lang=ja")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "ワークリスト" in text
    head, nothing = served.ask("/status/", method="HEAD")
    assert (head.status, nothing) == (200, "")
    assert served.ask("/status/", method="POST")[0].status == 405
    assert served.ask("/metrics")[0].status == 200
    assert served.ask("/nothing")[0].status == 404
    assert served.ask("/status/?" + "a" * 1_000)[0].status == 400
    with pytest.raises((http.client.HTTPException, OSError)):
        served.ask("/status/?" + "a" * 20_000)


def test_a_client_cannot_pretend_to_be_the_proxys_user(place: Place, recorded: Recorded) -> None:
    viewers = ViewerSettings(proxy=ProxySettings.model_validate({"address": "127.9.9.9"}))
    with serving(make_site(place.storage, place.reading, recorded, viewers)) as running:
        _, text = running.ask("/status/", X_Remote_User="dr.sato")
    assert PATIENT not in text
    assert recorded.views == []


def test_plain_http_takes_no_password(place: Place, recorded: Recorded, tmp_path: Path) -> None:
    from harness.status_page import basic

    viewers = ViewerSettings(passwords_file=tmp_path / "viewers")
    with serving(make_site(place.storage, place.reading, recorded, viewers)) as running:
        answer, text = running.ask("/status/", Authorization=basic("dr.sato", PASSWORD))
    assert answer.status == 403
    assert PATIENT not in text


@pytest.mark.parametrize("outcome", list(FetchOutcome))
@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_study_says_what_became_of_its_older_one(
    outcome: FetchOutcome, language: str, own_place: Place, recorded: Recorded
) -> None:
    row = {"state": "done", "outcome": outcome, "created_at": NOW, "due_at": NOW + 120}
    with own_place.writing.begin() as connection:
        job_id, study_id = connection.execute(sa.select(schema.job.c.id, schema.job.c.study_id)).first() or (0, 0)
        connection.execute(sa.insert(schema.prior_fetch).values(**row, job_id=job_id))
    text = checked(get(make_site(own_place.storage, own_place.reading, recorded, VIEWERS), f"/status/study/{study_id}"))
    assert states.FETCHES[outcome].partition(":")[2] in text
    translated = get(
        make_site(own_place.storage, own_place.reading, recorded, VIEWERS),
        f"/status/study/{study_id}",
        f"lang={language}",
    )
    assert say_in(Language(language))(states.FETCHES[outcome]) in checked(translated)


def test_an_older_study_that_was_fetched_is_called_so_and_waits_for_no_reader(
    own_place: Place, recorded: Recorded
) -> None:
    with own_place.writing.begin() as connection:
        finished = sa.select(schema.job.c.study_id).where(schema.job.c.state == JobState.FINISHED)
        study_id = connection.execute(finished.where(schema.job.c.priority == "routine")).scalars().first()
        connection.execute(sa.update(schema.study).where(schema.study.c.id == study_id).values(fetched=1))
    pages = make_site(own_place.storage, own_place.reading, recorded, VIEWERS)
    assert "for comparison alone" in checked(get(pages, f"/status/study/{study_id}"))
    listed = [checked(get(pages, query=f"lang=en&order={order}&limit=100")) for order in ("triage", "newest")]
    assert [f'href="study/{study_id}?' in text for text in listed] == [False, True]
