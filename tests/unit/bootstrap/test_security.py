# SPDX-License-Identifier: Apache-2.0
"""A configuration whose certificates cannot be used is refused before the node starts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.authority import DAY, Authority, Pair
from service.bootstrap.security import ending_soon, security_problems, tls_sections
from service.settings import Settings


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings(authority: Authority, pair: Pair) -> Settings:
    files: dict[str, Any] = {"certificate": pair.certificate, "key": pair.key, "trusted": authority.certificate}
    return Settings.model_validate(
        {
            "node": {"port": None, "tls": files},
            "destinations": [{"name": "pacs", "ae_title": "PACS", "host": "pacs", "port": 2762, "tls": files}],
            "audit": {"host": "collector", "tls": files},
        }
    )


def test_files_that_fit_together_are_no_problem(authority: Authority) -> None:
    good = settings(authority, authority.issue("node.example"))
    assert security_problems(good) == []
    assert [place for place, _ in tls_sections(good)] == ["node.tls", "destinations.pacs.tls", "audit.tls"]


def test_each_place_with_a_bad_file_is_named(authority: Authority) -> None:
    pair = authority.issue("node.example")
    pair.key.chmod(0o644)
    problems = security_problems(settings(authority, pair))
    assert [problem.partition(":")[0] for problem in problems] == ["node.tls", "destinations.pacs.tls", "audit.tls"]
    assert all("mode 0644" in problem for problem in problems)


def test_an_ending_is_told_with_its_place(authority: Authority) -> None:
    chosen = settings(authority, authority.issue("node.example", ends=5 * DAY))
    assert security_problems(chosen) == []
    (place, section), *_ = tls_sections(chosen)
    (problem,) = ending_soon(place, section, datetime.now(UTC))
    assert problem.startswith("node.tls: certificate ")
    assert "NOW" in problem
