# SPDX-License-Identifier: Apache-2.0
"""What `dokuei doctor` finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; `advice` says what to do when it is not well."""

    subject: str
    well: bool
    text: str
    advice: str = ""
