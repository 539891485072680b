# SPDX-License-Identifier: Apache-2.0
"""Section `retention` of config.yaml."""

from pydantic import Field

from service.settings.base import Section


class RetentionSettings(Section):
    """How long studies and results stay on the disk once everybody has them; null keeps them for ever."""

    input_hours: float | None = Field(default=24, ge=0, le=87_600)
    """Images are deleted so long after the last of a study was analysed, delivered and, where asked, committed."""
    result_days: float | None = Field(default=7, ge=0, le=3650)
    """Files of results are deleted so long after their delivery; their values stay in the ledger, for later studies."""
