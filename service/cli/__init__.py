# SPDX-License-Identifier: Apache-2.0
"""The `dokuei` command."""

from service.cli.app import main

__all__ = ["main"]
