# SPDX-License-Identifier: Apache-2.0
"""`dokuei viewer` prints a line that lets somebody sign in, and nothing of the password."""

from pathlib import Path

from typer.testing import CliRunner

from harness.status_page import PASSWORD
from service.cli.app import app
from service.domain.errors import ConfigurationError
from service.web.passwords import read_viewers

RUN = CliRunner()


def test_the_line_goes_into_the_file(tmp_path: Path) -> None:
    result = RUN.invoke(app, ["viewer", "dr.sato"], input=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0
    assert PASSWORD not in result.output
    line = result.stdout.splitlines()[-1]  # typer's test terminal writes its prompts there too
    file = tmp_path / "viewers"
    file.write_text(line)
    file.chmod(0o640)
    assert read_viewers(file)["dr.sato"].fits(PASSWORD)
    assert not read_viewers(file)["dr.sato"].fits(PASSWORD + "x")


def test_a_short_password_is_refused() -> None:
    result = RUN.invoke(app, ["viewer", "dr.sato"], input="short\nshort\n")
    assert isinstance(result.exception, ConfigurationError)
    assert "12 to 256 characters" in str(result.exception)
