# SPDX-License-Identifier: Apache-2.0
"""`dokuei models audit` hands over to the workbench, or says what it lacks."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import models_audit
from service.cli.app import app


def test_says_what_is_missing_where_there_is_no_workbench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_audit, "_NEEDED", ("json", "torch_that_is_not_here"))
    result = CliRunner().invoke(app, ["models", "audit", "somewhere"])
    assert result.exit_code == 2
    assert "needs the workbench, but there is no torch_that_is_not_here" in result.output
    assert "install the extra 'train'" in result.output


def test_hands_the_package_over_and_its_exit_status_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="needs the optional extra `train`")
    folder = tmp_path / "no-package" / "0.1.0"
    result = CliRunner().invoke(app, ["models", "audit", str(folder), "--golden", "--against", str(folder)])
    assert result.exit_code == 2
    assert f"{folder}: not audited: " in capfd.readouterr().err
