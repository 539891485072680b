# SPDX-License-Identifier: Apache-2.0
"""`dokuei viewer`: the line that lets somebody sign in to the status page."""

import typer

from service.web.passwords import viewer_line


def viewer(name: str) -> int:
    """Ask for the password twice, on the terminal, and print the line; the password itself is shown nowhere."""
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    typer.echo(viewer_line(name, password))
    return 0
