# SPDX-License-Identifier: Apache-2.0
"""Can the viewers of the status page sign in?"""

from service.domain.errors import ConfigurationError
from service.settings import Settings
from service.web.passwords import read_viewers


def viewer_problems(settings: Settings) -> list[str]:
    """Return what is wrong with the file of passwords."""
    viewers = settings.http.viewers
    if viewers is None or viewers.passwords_file is None:
        return []
    try:
        read_viewers(viewers.passwords_file)
    except ConfigurationError as error:
        return [f"http.viewers.passwords_file: {error}"]
    return []
