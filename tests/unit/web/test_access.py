# SPDX-License-Identifier: Apache-2.0
"""Identity is shown to whom the site names, who proved it, over a connection that nobody reads; and to nobody else."""

from pathlib import Path
from typing import Any

import pytest

from harness.status_page import PASSWORD, basic
from service.domain.errors import ConfigurationError
from service.domain.event import Event, ViewerRefused
from service.ports.pages import Request
from service.settings import ProxySettings, ViewerSettings
from service.web import passwords
from service.web.access import ADDRESS_ATTEMPTS, REMEMBERED_SECONDS, Access, RefusedError
from service.web.pace import ATTEMPT_SECONDS, Attempts, BusyError, Turnstile
from service.web.passwords import read_viewers, viewer_line

PROXY = ViewerSettings(proxy=ProxySettings.model_validate({"address": "10.1.0.9", "header": "X-Remote-User"}))
LOCAL_PROXY = ViewerSettings(proxy=ProxySettings.model_validate({"address": "localhost"}))


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture(scope="module")
def line() -> str:
    return viewer_line("dr.sato", PASSWORD)


@pytest.fixture
def file(tmp_path: Path, line: str) -> Path:
    path = tmp_path / "viewers"
    path.write_text(f"# readers\n{line}\n")
    path.chmod(0o640)
    return path


def ask(headers: dict[str, Any] | None = None, *, secure: bool = True, address: str = "10.2.0.1") -> Request:
    values = {name: value if isinstance(value, tuple) else (value,) for name, value in (headers or {}).items()}
    return Request(path="/status/", headers=values, secure=secure, address=address)


def access(settings: ViewerSettings | None, events: list[Event] | None = None, clock: Any = None) -> Access:
    events = [] if events is None else events
    return Access(settings, observer=events.append, monotonic=clock or Time())


def test_without_viewers_nobody_sees_identity() -> None:
    headers = {"authorization": basic("dr.sato", PASSWORD), "x-remote-user": "dr.sato"}
    assert access(None).viewer(ask(headers, address="127.0.0.1")) == ""


@pytest.mark.parametrize(
    ("headers", "address", "secure", "viewer"),
    [
        ({"x-remote-user": "sato@HOSPITAL"}, "10.1.0.9", True, "sato@HOSPITAL"),
        ({"x-remote-user": "HOSPITAL\\sato"}, "10.1.0.9", True, "HOSPITAL\\sato"),
        ({"x-remote-user": "sato"}, "10.1.0.9", False, ""),  # names would cross the network in clear
        ({"x-remote-user": "sato"}, "10.1.0.8", True, ""),  # not the proxy: anybody can write the header
        ({"x-remote-user": ("mallory", "sato")}, "10.1.0.9", True, ""),
        ({"x-remote-user": ""}, "10.1.0.9", True, ""),
        ({"x-remote-user": "<script>"}, "10.1.0.9", True, ""),
        ({"x-remote-user": "a\n b"}, "10.1.0.9", True, ""),
        ({"x-remote-user": "s" * 65}, "10.1.0.9", True, ""),
        ({}, "10.1.0.9", True, ""),
    ],
)
def test_the_header_of_the_proxy(headers: dict[str, Any], address: str, secure: bool, viewer: str) -> None:
    assert access(PROXY).viewer(ask(headers, address=address, secure=secure)) == viewer


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_proxy_on_this_machine_needs_no_tls(address: str) -> None:
    assert access(LOCAL_PROXY).viewer(ask({"x-remote-user": "sato"}, address=address, secure=False)) == "sato"


def test_the_right_password(file: Path) -> None:
    assert (
        access(ViewerSettings(passwords_file=file)).viewer(ask({"authorization": basic("dr.sato", PASSWORD)}))
        == "dr.sato"
    )


@pytest.mark.parametrize(
    "header",
    [
        basic("dr.sato", "wrong password 12"),
        basic("nobody", PASSWORD),
        basic("dr.sato", ""),
        "Basic !!!",
        "Basic",
        "Bearer abc",
        basic("dr.sato", "x" * 300),
        "Basic " + "/w==",
    ],
)
def test_anything_else_is_refused_and_told_without_a_name(file: Path, header: str) -> None:
    events: list[Event] = []
    with pytest.raises(RefusedError) as caught:
        access(ViewerSettings(passwords_file=file), events).viewer(ask({"authorization": header}))
    assert caught.value.refusal == "credentials"
    assert events == [ViewerRefused(reason="credentials", address="10.2.0.1")]


def test_a_password_without_tls_is_not_even_looked_at(file: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        access(ViewerSettings(passwords_file=file)).viewer(
            ask({"authorization": basic("dr.sato", PASSWORD)}, secure=False)
        )
    assert caught.value.refusal == "plain"


def test_guesses_end_and_begin_again_after_a_while(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tried = Time(), []
    real = passwords.Hash.fits
    monkeypatch.setattr(passwords.Hash, "fits", lambda self, password: tried.append(password) or real(self, password))
    door = access(ViewerSettings(passwords_file=file), clock=clock)
    refusals = [_refusal(door, ask({"authorization": basic("dr.sato", f"guess number {n:03}")})) for n in range(8)]
    assert refusals == ["credentials"] * ADDRESS_ATTEMPTS + ["too_many"] * 3
    assert len(tried) == ADDRESS_ATTEMPTS
    assert _refusal(door, ask({"authorization": basic("dr.sato", PASSWORD)})) == "too_many"
    elsewhere = ask({"authorization": basic("dr.sato", PASSWORD)}, address="10.2.0.2")
    assert door.viewer(elsewhere) == "dr.sato"
    clock.at += ATTEMPT_SECONDS + 1
    assert door.viewer(ask({"authorization": basic("dr.sato", PASSWORD)})) == "dr.sato"


def test_a_right_password_is_hashed_once_and_forgotten_when_the_file_changes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, tried = Time(), []
    monkeypatch.setattr(passwords.Hash, "fits", lambda _self, password: not tried.append(password))
    door, request = (
        access(ViewerSettings(passwords_file=file), clock=clock),
        ask({"authorization": basic("dr.sato", PASSWORD)}),
    )
    assert [door.viewer(request) for _ in range(3)] == ["dr.sato"] * 3
    assert len(tried) == 1
    clock.at += REMEMBERED_SECONDS + 1
    door.viewer(request)
    assert len(tried) == 2
    file.write_text("# nobody any more\n")
    assert _refusal(door, request) == "credentials"


def _refusal(door: Access, request: Request) -> str:
    with pytest.raises(RefusedError) as caught:
        door.viewer(request)
    return caught.value.refusal.value


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o641])
def test_a_file_that_others_can_read_lets_nobody_in(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"has mode {mode:04o}.*chmod 0640"):
        read_viewers(file)
    assert _refusal(access(ViewerSettings(passwords_file=file)), ask({"authorization": basic("dr.sato", PASSWORD)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.replace("scrypt", "md5"), "line 2: not a line of"),
        (lambda line: line.replace("$15$", "$10$"), "N=2\\^10"),
        (lambda line: line.replace("$15$", "$30$"), "N=2\\^30"),
        (lambda line: f"{line}\n{line}", "stands in an earlier line"),
        (lambda line: line[:-8] + "$", "not a line of"),
        (lambda line: line.rsplit("$", 1)[0] + "$AAAA", "too short"),
        (lambda _line: "", "names nobody"),
        (lambda _line: "dr.sato:密", "no ASCII"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_without_quoting_it(file: Path, line: str, change: Any, message: str) -> None:
    file.write_text(f"# readers\n{change(line)}\n")
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_viewers(file)
    assert line.rsplit("$", 1)[1] not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "password"), [("dr sato", PASSWORD), ("a:b", PASSWORD), ("", PASSWORD), ("a", "short")]
)
def test_names_and_passwords_that_cannot_be_used(name: str, password: str) -> None:
    with pytest.raises(ConfigurationError):
        viewer_line(name, password)


def test_the_line_does_not_hold_the_password(line: str) -> None:
    assert PASSWORD not in line
    assert line != viewer_line("dr.sato", PASSWORD), "each has a salt of its own"


def test_old_failures_of_others_are_forgotten_when_there_are_too_many() -> None:
    attempts = Attempts(monotonic=Time())
    attempts.failed(["first"])
    attempts.failed(str(number) for number in range(5000))
    assert attempts.number("first") == 0
    assert attempts.number("4999") == 1


def test_the_turnstile_lets_a_burst_through_and_then_so_many_per_second() -> None:
    clock = Time()
    turnstile = Turnstile(per_second=10, burst=3, monotonic=clock)

    def passes() -> bool:
        try:
            with turnstile.passing():
                return True
        except BusyError:
            return False

    assert [passes() for _ in range(5)] == [True, True, True, False, False]
    clock.at += 0.2
    assert [passes() for _ in range(3)] == [True, True, False]
