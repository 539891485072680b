# SPDX-License-Identifier: Apache-2.0
"""What hospital IT installs the node with, and the programs that make and check it; nothing here runs in the node."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DEPLOY = CHECKOUT / "deploy"
VARIANTS = ("cpu", "gpu", "openvino")
"""The extras of pyproject.toml that exclude each other: one bundle and one lock file each."""
