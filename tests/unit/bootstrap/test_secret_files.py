# SPDX-License-Identifier: Apache-2.0
"""A token or password that others can read keeps the node from starting."""

from pathlib import Path

import pytest

from service.bootstrap.packages import start_problems
from service.bootstrap.secret_files import secret_files, secret_problems
from service.settings import Settings
from service.settings.base import Section

PLACES = (
    "storage.database_password_file",
    "peers.gateway.token_file",
    "destinations.archive.token_file",
    "webhooks.ris.token_file",
)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    path.chmod(0o640)
    return path


def settings(secret: Path) -> Settings:
    return Settings.model_validate(
        {
            "storage": {"database_url": "postgresql://dokuei@db/dokuei", "database_password_file": secret},
            "dicomweb": {"port": 8080},
            "peers": [{"name": "gateway", "address": "127.0.0.1", "token_file": secret}],
            "destinations": [{"name": "archive", "url": "https://archive/dicom-web", "token_file": secret}],
            "webhooks": [{"name": "ris", "url": "https://ris/raised", "token_file": secret}],
        }
    )


def test_every_secret_of_the_configuration_is_known(secret: Path) -> None:
    assert [place for place, _ in secret_files(settings(secret))] == list(PLACES)


def test_no_section_has_a_secret_under_another_name() -> None:
    """A new option that names a file with a secret must end like the others, or it would not be checked."""
    names = {name for model in all_sections(Section) for name in model.model_fields}
    assert {name for name in names if "token" in name or "password" in name or "secret" in name} == {
        "token_file",
        "database_password_file",
        "passwords_file",  # of the status page, which looks at its mode itself
    }


def all_sections(model: type[Section]) -> list[type[Section]]:
    below = model.__subclasses__()
    return [*below, *(further for section in below for further in all_sections(section))]


def test_files_of_owner_and_group_are_no_problem(secret: Path) -> None:
    assert secret_problems(settings(secret)) == []


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_secret_that_others_can_read_or_write_is_refused(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    problems = [problem for problem in start_problems(settings(secret)) if "secret in it" in problem]
    assert [problem.partition(":")[0] for problem in problems] == list(PLACES)
    assert all(f"mode {mode:04o}" in problem and f"chmod 0640 {secret}" in problem for problem in problems)


def test_a_file_that_is_not_there_is_told_elsewhere(secret: Path) -> None:
    secret.unlink()
    assert secret_problems(settings(secret)) == []
