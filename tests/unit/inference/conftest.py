# SPDX-License-Identifier: Apache-2.0
"""A fresh tiny package for every test that wants to damage one."""

from pathlib import Path

import pytest
from tiny_package import write_tiny


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """Folder of a package that loads."""
    return write_tiny(tmp_path / "packages")
