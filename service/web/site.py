# SPDX-License-Identifier: Apache-2.0
"""The pages under /status: which URL shows what, to whom, and with which headers; `ports.Pages`."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from service.domain.errors import StorageError
from service.ports.pages import Page, Request
from service.ports.status_page import StudyStory, Worklist
from service.settings.results import Language
from service.web import sections
from service.web.access import Access, Refusal, RefusedError
from service.web.labels import result, sent, study_state, why_urgent
from service.web.listing import list_page, listing_of, views
from service.web.moments import moment, zone
from service.web.pace import BusyError, Turnstile
from service.web.query import BadQueryError, Choice, accepted_language, read_choice
from service.web.rendering import CONTENT_SECURITY_POLICY, HTML, Renderer
from service.web.sources import Sources
from service.web.timeline import Timeline
from service.web.words import say_in

HOME = "/status/"
SIGN_IN = "/status/sign-in"
STUDY = re.compile(r"/status/study/([1-9][0-9]{0,9})")
LARGEST_ID = 2**31 - 1
ELSEWHERE = ("/", "/status")
"""Paths from which a browser is sent home."""
REFRESH_SECONDS = 60
"""The list is loaded anew so often where it shows no identity; with identity, each load is a view of its own."""
REALM = 'Basic realm="dokuei", charset="UTF-8"'
HEADERS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
    ("Vary", "Accept-Language, Authorization"),
)
PROBLEMS = {
    HTTPStatus.BAD_REQUEST: "There is no such page: the address asks for something that is not offered.",
    HTTPStatus.NOT_FOUND: "There is no such page, or no such study.",
    HTTPStatus.UNAUTHORIZED: "Name or password are not right.",
    HTTPStatus.FORBIDDEN: "Passwords are taken over TLS alone: use the https address of this page.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many sign-ins failed; try again in five minutes.",
    HTTPStatus.SERVICE_UNAVAILABLE: "This page is asked for too often, or the ledger is busy; try again in a moment.",
}
REFUSALS = {
    Refusal.CREDENTIALS: HTTPStatus.UNAUTHORIZED,
    Refusal.PLAIN: HTTPStatus.FORBIDDEN,
    Refusal.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
}
RETRY: Mapping[HTTPStatus, tuple[str, str]] = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate", REALM),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After", "300"),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After", "2"),
}


class StatusSite:
    """Answers for everything under /status."""

    def __init__(self, sources: Sources, access: Access, *, turnstile: Turnstile | None = None) -> None:
        self._sources = sources
        self._access = access
        self._turnstile = turnstile or Turnstile()
        self._render = Renderer()
        # Made once: whoever is told to wait asks again, and must cost next to nothing.
        self._problems = {(status, each): self._problem_page(status, each) for status in PROBLEMS for each in Language}

    def __call__(self, request: Request, /) -> Page | None:
        """Return the page of a path under /status; None for any other."""
        if request.path in ELSEWHERE:
            return _sent_to(HOME)
        if not request.path.startswith(HOME):
            return None
        try:
            return self._page(request)
        except RefusedError as error:
            return self._problem(REFUSALS[error.refusal], request)
        except BadQueryError:
            return self._problem(HTTPStatus.BAD_REQUEST, request)
        except (BusyError, StorageError):
            return self._problem(HTTPStatus.SERVICE_UNAVAILABLE, request)

    def _page(self, request: Request) -> Page:
        choice = read_choice(request)
        viewer = self._access.viewer(request)
        if request.path == SIGN_IN:
            return self._sign_in(request, viewer)
        study = STUDY.fullmatch(request.path)
        with self._turnstile.passing():
            if request.path == HOME:
                return self._home(request, choice, viewer)
            if study is not None and int(study[1]) <= LARGEST_ID:
                return self._study(request, choice, viewer, int(study[1]))
        return self._problem(HTTPStatus.NOT_FOUND, request)

    def _sign_in(self, request: Request, viewer: str) -> Page:
        if viewer:
            return _sent_to(HOME)
        offered = self._access.takes_passwords(request)
        return self._problem(HTTPStatus.UNAUTHORIZED if offered else HTTPStatus.NOT_FOUND, request)

    def _home(self, request: Request, choice: Choice, viewer: str) -> Page:
        sources, say = self._sources, say_in(choice.language)
        speech = sources.speech[choice.language]
        listing = listing_of(choice, now=sources.now(), with_identity=bool(viewer))
        found = sources.ledger.worklist(listing)
        self._record(found, viewer, request)
        counts = sources.ledger.counts()
        return self._rendered(
            "home.html",
            request,
            choice,
            viewer,
            list=list_page(found, choice, sources, say),
            warnings=sections.warnings(counts, sources, say),
            models=sections.models(sources.models(), say, speech),
            destinations=sections.destinations(counts, sources.destinations, say),
            quarantine=sections.quarantine(sources.ledger.quarantine(), say),
            drift=None if sources.drift is None else sections.drift(sources.drift.statuses(), say, speech),
            refresh=0 if viewer or choice.after else REFRESH_SECONDS,
            address=choice.link(HOME),
        )

    def _study(self, request: Request, choice: Choice, viewer: str, study_id: int) -> Page:
        sources, say = self._sources, say_in(choice.language)
        speech = sources.speech[choice.language]
        story = sources.ledger.story(study_id, with_identity=bool(viewer))
        if story is None:
            return self._problem(HTTPStatus.NOT_FOUND, request)
        self._record(Worklist(items=(story.study,)), viewer, request)
        return self._rendered(
            "study.html",
            request,
            choice,
            viewer,
            key=sources.study_key(story.study.study_instance_uid),
            study=story.study,
            name=self._name(story),
            received=moment(story.study.first_seen_at),
            state=study_state(story.study, say),
            why=why_urgent(story.study, sources, say),
            results=tuple(result(job, say, speech) for job in story.study.analyses),
            sent_to=sent(story.study.shares, say),
            entries=Timeline(story, sources, say=say, speech=speech).entries(),
            refresh=0,
            address=choice.link(request.path),
        )

    def _name(self, story: StudyStory) -> str:
        """Return the patient's name from the stored image: the ledger keeps no names."""
        identity = story.study.identity
        return self._sources.patient_name(identity.path) if identity and identity.path else ""

    def _record(self, found: Worklist, viewer: str, request: Request) -> None:
        """Write into the audit trail whose studies the viewer is about to see; when that fails, nothing is shown."""
        seen = views(found.items, viewer=viewer, address=request.address)
        if seen:
            self._sources.record(seen)

    def _rendered(self, template: str, request: Request, choice: Choice, viewer: str, **values: Any) -> Page:
        sources = self._sources
        at = sources.now()
        languages = [(language, choice.link(request.path, language=language)) for language in Language]
        body = self._render(
            template,
            choice.language,
            choice=choice,
            home=choice.link(HOME, after=None),
            languages=languages,
            viewer=viewer,
            sign_in=SIGN_IN if not viewer and self._access.takes_passwords(request) else "",
            made=moment(at),
            zone=zone(at),
            version=sources.version,
            ae_title=sources.ae_title,
            **values,
        )
        return _html(HTTPStatus.OK, body, choice.language)

    def _problem(self, status: HTTPStatus, request: Request) -> Page:
        language = _language(request)
        more = (RETRY[status],) if status in RETRY else ()
        return _html(status, self._problems[status, language], language, *more)

    def _problem_page(self, status: HTTPStatus, language: Language) -> bytes:
        title = f"{status.value} {status.phrase}"
        return self._render("problem.html", language, title=title, sentence=PROBLEMS[status], home=HOME, refresh=0)


def _language(request: Request) -> Language:
    try:
        return read_choice(request).language
    except BadQueryError:
        return accepted_language(request)


def _html(status: HTTPStatus, body: bytes, language: Language, *more: tuple[str, str]) -> Page:
    headers = (*HEADERS, ("Content-Language", language.value), *more)
    return Page(status, HTML, body, headers=headers)


def _sent_to(path: str) -> Page:
    return Page(HTTPStatus.FOUND, "text/plain; charset=utf-8", b"", headers=(("Location", path), *HEADERS))
