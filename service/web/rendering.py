# SPDX-License-Identifier: Apache-2.0
"""Makes HTML of the templates: everything is escaped, a name that is not there is an error, and nothing is fetched."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.settings.results import Language
from service.web.words import say_in

TEMPLATES = Path(__file__).with_name("templates")
STYLE = (TEMPLATES / "style.css").read_text(encoding="utf-8").strip()
STYLE_SHA256 = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{STYLE_SHA256}'",
        "img-src data:",  # the empty icon, without which browsers ask for one
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HTML = "text/html; charset=utf-8"


class Renderer:
    """Renders templates; safe to call from any thread."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def __call__(self, template: str, language: Language, **values: Any) -> bytes:
        """Return a page."""
        found = self._environment.get_template(template)
        text = found.render(t=say_in(language), language=language.value, style=STYLE, **values)
        return text.encode("utf-8", "replace")
