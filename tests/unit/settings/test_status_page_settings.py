# SPDX-License-Identifier: Apache-2.0
"""What config.yaml may say of the status page, and what is refused with a remedy."""

from pathlib import Path

import pytest

from service.bootstrap.viewers import viewer_problems
from service.settings import Settings, SettingsError, parse_settings

TLS = "tls: {port: 9443, certificate: a.pem, key: a.key, require_client_certificate: false}"
AUDIT = "audit: {host: collector, tls: {trusted: ca.pem}}"


def http(*parts: str, audit: str = AUDIT) -> Settings:
    return parse_settings(f"http: {{{', '.join(parts)}}}\n{audit}\n")


def test_nothing_is_shown_unless_it_is_asked_for() -> None:
    assert not parse_settings("").http.status_page


def test_a_page_without_viewers_needs_nothing_else() -> None:
    assert http("status_page: true", audit="").http.viewers is None


def test_passwords_over_tls_and_a_proxy_on_this_machine() -> None:
    viewers = http("status_page: true", TLS, "viewers: {passwords_file: v, proxy: {address: localhost}}").http.viewers
    assert viewers is not None
    assert viewers.proxy is not None
    assert viewers.proxy.is_local
    assert viewers.proxy.header == "X-Remote-User"


@pytest.mark.parametrize(
    ("parts", "audit", "message"),
    [
        (
            ["status_page: true", "viewers: {passwords_file: v}"],
            AUDIT,
            "passwords_file without 'tls' would let everybody",
        ),
        (
            ["status_page: true", "viewers: {proxy: {address: 10.0.0.9}}"],
            AUDIT,
            "proxy on another machine without 'tls'",
        ),
        (
            ["status_page: true", "viewers: {proxy: {address: 127.0.0.1}}"],
            "",
            "only where each view is recorded; give 'audit'",
        ),
        (["viewers: {proxy: {address: 127.0.0.1}}"], AUDIT, "nothing to be shown; set 'status_page: true'"),
        (["status_page: true", "viewers: {}"], AUDIT, "nobody could be shown identity"),
        (["status_page: true", TLS.replace("9443", "9180")], "", "port and tls.port are both 9180"),
        (["status_page: true", TLS.replace("port: 9443, ", "")], "", "tls: give 'port' too, for example 9443"),
        (["status_page: true", "viewers: {proxy: {address: 127.0.0.1, header: 'X Y'}}"], AUDIT, "X Y"),
        (["status_page: true", "viewers: {proxy: {address: everywhere}}"], AUDIT, "everywhere"),
        (["status_pages: true"], "", "did you mean 'status_page'"),
        (["status_page: true", "viewers: {password: secret}"], AUDIT, "unknown key"),
    ],
)
def test_what_is_refused_says_what_to_do(parts: list[str], audit: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        http(*parts, audit=audit)
    assert message in str(caught.value)


def test_check_names_a_file_of_passwords_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "viewers"
    settings = http("status_page: true", TLS, f"viewers: {{passwords_file: {file}}}")
    assert "http.viewers.passwords_file:" in viewer_problems(settings)[0]
    file.write_text("x")
    file.chmod(0o644)
    assert "chmod 0640" in viewer_problems(settings)[0]
