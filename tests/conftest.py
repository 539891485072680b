# SPDX-License-Identifier: Apache-2.0
"""What every test may use."""

from pathlib import Path

import pytest

pytest_plugins = ["harness.fixtures"]

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data_folder() -> Path:
    """The folder of real images beside the checkout; tests that need it are skipped, loudly, without it."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"REAL DATA MISSING: {REAL_DATA} is not there; these tests need real images beside the checkout")
    return REAL_DATA
