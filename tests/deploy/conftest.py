# SPDX-License-Identifier: Apache-2.0
"""What tests of the installation share."""

from pathlib import Path

import pytest

from deploy.bundle.__main__ import make_bundle
from harness.debian import missing


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of this checkout for the CPU."""
    return make_bundle(tmp_path_factory.mktemp("bundle"), variant="cpu")


@pytest.fixture
def _debian() -> None:
    """Skip, loudly, where no Debian system can be booted."""
    if missing():
        pytest.skip(f"NO DEBIAN CONTAINER: {missing()} missing; make deploy-test installs the programs, and needs root")
