# SPDX-License-Identifier: Apache-2.0
"""`python -m service` is the `dokuei` command."""

from service.cli import main

main()
