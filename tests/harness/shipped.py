# SPDX-License-Identifier: Apache-2.0
"""The committed demonstration packages, whatever their version is."""

from pathlib import Path

PACKAGES = Path(__file__).parents[2] / "models" / "packages"


def shipped(name: str, packages: Path = PACKAGES) -> Path:
    """Return the folder of the one version of a package; a second one would leave open which is meant."""
    (folder,) = (packages / name).iterdir()
    return folder
