# SPDX-License-Identifier: Apache-2.0
"""config.yaml: what is accepted, and how well the rest is explained."""

import re
from pathlib import Path

import pytest

from service.settings import SettingsError, load_settings, locate_problems, parse_settings

ROOT = Path(__file__).parents[3]
TWICE = "  - {name: a, ae_title: A, host: h, port: 1}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text)
    return [str(problem) for problem in caught.value.problems]


def test_the_shipped_configuration_is_valid_and_ten_lines_long() -> None:
    settings = load_settings(ROOT / "config.yaml")
    lines = [line for line in (ROOT / "config.yaml").read_text().splitlines() if line and not line.startswith("#")]
    assert settings.destinations[0].ae_title == "ORTHANC"
    assert len(lines) <= 10


def test_an_empty_file_gives_the_defaults() -> None:
    settings = parse_settings("")
    assert settings.node.ae_title == "DOKUEI"
    assert not settings.site.allow_demonstration
    assert settings.triage.allowed_statuses == ("site-validated", "approved")


def test_an_unknown_key_is_refused_with_the_known_ones_and_a_guess() -> None:
    (problem,) = problems("node:\n  ae_titel: X\n")
    assert problem.startswith("line 2: node.ae_titel: unknown key; did you mean 'ae_title'? known here: ae_title, host")


def test_every_problem_is_told_at_once_in_the_order_of_the_lines() -> None:
    text = "node:\n  port: 99999\nlog: {level: loud}\ndestinations:\n  - {name: A, ae_title: X, host: h, port: 1}\n"
    found = problems(text)
    assert [problem.split(":")[0] for problem in found] == ["line 2", "line 3", "line 5"]
    assert "99999" in found[0]
    assert "'debug', 'info', 'warning' or 'error'" in found[1]
    assert "begins with a letter" in found[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x 1\nb: *x\n", "line 2: not valid YAML: aliases"),
        ("node: {}\nnode: {}\n", "line 2: not valid YAML: key 'node' is given twice"),
        ("- 1\n", "line 1: the top level must be"),
        ("node: [\n", "not valid YAML"),
        ("node: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        (
            "peers:\n  - {name: a, address: 10.0.0.1}\n",
            "a peer needs 'ae_title' to send by C-STORE, or 'token_file' or a",
        ),
        ("peers:\n  - {name: a, address: 10.0.0.1, token_file: t}\n", "there is no 'dicomweb' section"),
        ("dicomweb: {port: 8080}\n", "no peer has a 'token_file'"),
        ("dicomweb: {}\n", "give 'port' (plain HTTP, on loopback alone) or 'tls'"),
        ("dicomweb: {tls: {certificate: a, key: b, trusted: c}}\n", "tls: give 'port' too"),
        ("destinations:\n  - {name: a, url: 'http://h/w', tls: {trusted: c}}\n", "begins with https:"),
        ("dicomweb: {port: 8080, host: 0.0.0.0}\n", "without 'tls' would let everybody in the network read tokens"),
        ("dicomweb: {port: 8080, host: node.hospital}\n", "without 'tls'"),
        ("dicomweb: {port: 8080, base: /dicom-web/}\n", "dicomweb.base"),
        ("destinations:\n  - {name: a, url: 'https://h/w', port: 1}\n", "'url' (STOW-RS) and 'port' (C-STORE) exclude"),
        ("destinations:\n  - {name: a, ae_title: A, host: h}\n", "a destination needs 'ae_title', 'host' and 'port'"),
        ("destinations:\n  - {name: a}\n", "a destination needs 'ae_title', 'host' and 'port'"),
        ("destinations:\n  - {name: a, url: 'https://u:p@h/w'}\n", "destinations[0].url"),
        ("destinations:\n  - {name: a, url: 'https://h/w?x'}\n", "destinations[0].url"),
        (
            "destinations:\n  - {name: a, ae_title: A, host: h, port: 1, token_file: t}\n",
            "'token_file' belongs to 'url'",
        ),
        ("peers:\n  - {name: a, ae_title: A, address: 10.0.0.300}\n", "10.0.0.300"),
        ("peers:\n  - {name: a, ae_title: 'A\\B', address: 10.0.0.1}\n", "no backslash"),
        ("rules:\n  - {name: r, when: {attribute: Modality}, pipelines: [mammography]}\n", "a condition is either"),
        ("rules:\n  - {name: r, when: {attribute: X, regex: '('}, pipelines: [mammography]}\n", "does not compile"),
        ("rules:\n  - {name: r, when: {attribute: X, equals: 1}, pipelines: [heart]}\n", "names pipeline 'heart'"),
        (f"destinations:\n{TWICE}{TWICE}", "'a' is used twice"),
    ],
)
def test_bad_configuration_is_explained(text: str, expected: str) -> None:
    assert expected in "\n".join(problems(text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml has 1 problem.*\n.*No such file"):
        load_settings(tmp_path / "absent.yaml")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(SettingsError, match="larger than 1000000 bytes"):
        load_settings(path)


@pytest.mark.parametrize(
    "text",
    [
        "triage: {allowed_statuses: [demonstration]}",  # they raise a priority in the demo profile alone
        "site: {institution: X}",
        "node: {idle_seconds: 0}",
        "destinations: [{name: pacs, ae_title: P, host: h, port: 1, timeout_seconds: 0}]",
        "destinations: [{name: pacs, ae_title: P, host: h, port: 1, objects: []}]",
        "webhooks: [{name: w, url: 'http://h', timeout_seconds: 0}]",
    ],
)
def test_what_would_do_nothing_or_break_everything_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_settings(text)


TLS = "certificate: a.pem, key: a.key, trusted: ca.pem"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node: {port: null}", "'port: null' leaves the node no port"),
        ("node: {port: 2762, tls: {" + TLS + "}}", "plain and TLS never share one"),
        ("node: {tls: {certificate: a.pem, key: a.key}}", "give 'trusted'"),
        ("node: {tls: {" + TLS + ", minimum_version: '1.1'}}", "'1.2' or '1.3'"),
        ("peers: [{name: ct, ae_title: CT, address: 10.0.0.1, certificate_name: ct}]", "give 'node.tls'"),
        (
            "node: {tls: {" + TLS + "}}\npeers: [{name: ct, ae_title: CT, address: 10.0.0.1, certificate_sha256: ab}]",
            "64 hex digits",
        ),
        ("peers: [{name: ct, ae_title: CT, address: []}]", "at least 1 item"),
        ("peers: [{name: ct, ae_title: CT, address: 10.0.0.1, may: [print]}]", "'store', 'commit' or 'query'"),
        ("audit: {host: log, tls: {trusted: ca.pem, key: a.key}}", "give both or neither"),
        ("audit: {host: log}", "tls: is missing"),
    ],
)
def test_a_way_in_that_is_not_what_it_seems_is_refused(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        parse_settings(text)


def test_a_node_can_be_reached_over_tls_alone() -> None:
    node = parse_settings("node: {port: null, tls: {" + TLS + "}}").node
    assert node.port is None
    assert node.tls is not None
    assert (node.tls.port, node.tls.minimum_version, node.tls.require_client_certificate) == (2762, "1.2", True)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://node:s3cret@db/dokuei",
        "postgresql://node@db/dokuei?password=s3cret",
        "postgresql://node@db/dokuei?sslpassword=s3cret",
        "mysql://node:s3cret@db/dokuei",
    ],
)
def test_a_password_in_the_database_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"line 1: storage\.database_url: a ") as refused:
        parse_settings(f"storage: {{database_url: '{url}'}}")
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in "".join(map(str, refused.value.problems))


def test_a_database_url_goes_with_a_password_file() -> None:
    given = "database_url: postgresql://node@db/dokuei, database_password_file: /run/secrets/db"
    assert parse_settings(f"storage: {{{given}}}").storage.database_password_file == Path("/run/secrets/db")
    with pytest.raises(SettingsError, match="without 'database_url'"):
        parse_settings("storage: {database_password_file: /run/secrets/db}")


def test_a_peer_that_takes_reports_needs_one_host() -> None:
    network = "peers: [{name: ct, ae_title: CT, address: 10.0.0.0/24, commitment_port: 104}]\n"
    assert any("commitment_host" in problem for problem in problems(network))
    named = parse_settings("peers: [{name: ct, ae_title: CT, address: 10.0.0.5, commitment_port: 104}]\n")
    to = named.peers[0].reports_to()
    assert to is not None
    assert (to.host, to.port, to.ae_title) == ("10.0.0.5", 104, "CT")
    assert parse_settings("peers: [{name: ct, ae_title: CT, address: 10.0.0.5}]\n").peers[0].reports_to() is None


def test_dicomweb_is_configured_both_ways() -> None:
    settings = parse_settings(
        "dicomweb: {tls: {port: 8443, certificate: a, key: b, require_client_certificate: false}}\n"
        "peers:\n  - {name: gateway, address: 10.0.0.1, token_file: t}\n"
        "destinations:\n  - {name: archive, url: 'https://archive.example/dicom-web', token_file: u}\n"
    )
    assert settings.dicomweb is not None
    assert (settings.dicomweb.host, settings.dicomweb.listens_on) == ("127.0.0.1", 8443)
    assert settings.dicomweb.base == "/dicom-web"
    assert settings.peers[0].ae_title is None
    assert settings.destinations[0].url == "https://archive.example/dicom-web"


def test_a_destination_hears_of_every_study() -> None:
    peer = "destinations:\n  - {name: a, ae_title: A, host: h, port: 1, objects: [%s]}\n"
    settings = parse_settings(peer % "heatmap, mammography_cad, chest_cad")
    assert settings.destinations[0].objects == ("heatmap", "mammography_cad", "chest_cad")
    (problem,) = problems(peer % "mammography_cad")
    assert "'objects' names mammography_cad, and none that every result has; add 'sr', 'heatmap'," in problem


SPANNING = """\
node:
  port: {port}
http:
  status_page: true
  viewers: {{proxy: {{address: 127.0.0.1}}}}
peers:
  - {{name: ct, ae_title: CT, address: 10.0.0.1, certificate_name: ct}}
  - name: mr
    ae_title: MR
    address: 10.0.0.2
    token_file: t
  - {{name: ct, ae_title: DX, address: 10.0.0.3}}
rules:
  - name: chest
    when: {{attribute: X, equals: 1}}
    pipelines:
      - mammography
      - heart
pipelines:
  mammography: {{package: p, version: '1'}}
"""


def test_what_spans_sections_is_told_at_once_with_the_lines_of_all_its_keys() -> None:
    found = problems(SPANNING.format(port=104))
    assert [problem[:40] for problem in found] == [
        "line 1 with 7: peers: 'ct' must show a c",
        "line 5: http.viewers: identity is shown ",
        "line 7 with 12: peers: name 'ct' is used",
        "line 11: peers: 'mr' has a 'token_file',",
        "line 18 with 19: rules: 'chest' names pi",
    ]


def test_a_section_that_is_wrong_hides_no_contradiction_of_others() -> None:
    found = problems(SPANNING.format(port=99999))
    lines = [problem.partition(": ")[0] for problem in found]
    assert lines == ["line 2", "line 5", "line 7 with 12", "line 11", "line 18 with 19"]
    assert not any("node.tls" in problem for problem in found), "what the wrong section would have said is not known"


def test_contradictions_are_bounded_as_all_problems_are() -> None:
    rules = "".join(f"  - {{name: r{n}, when: {{attribute: X, equals: 1}}, pipelines: [heart]}}\n" for n in range(150))
    found = problems(f"rules:\n{rules}")
    assert len(found) == 101
    assert found[-1] == "and 50 more; correct these first"


def test_problems_that_are_found_later_have_the_line_of_their_key(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("node: {}\ndestinations:\n  - name: pacs\n    url: https://h/w\n    tls: {}\npipelines:\n  x: {}\n")
    located = locate_problems(
        ["destinations.pacs.tls: no", "pipelines.x.shadow: no", "drift.ignore: no", "destinations.other: no"], path
    )
    assert [str(problem) for problem in located] == [
        "line 5: destinations.pacs.tls: no",
        "line 7: pipelines.x.shadow: no",
        "drift.ignore: no",
        "line 2: destinations.other: no",
    ]
