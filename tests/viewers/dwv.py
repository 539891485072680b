# SPDX-License-Identifier: Apache-2.0
"""dwv as a page uses it: load an instance from the archive by its URL and draw it into a layer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

from harness.browser import picture

PATH = "/dwv.html"
PACKAGES = ("konva/konva.min.js", "jszip/dist/jszip.min.js", "magic-wand-tool/dist/magic-wand.min.js")
"""What dwv imports, as scripts that leave a global each."""
SHIMS = {
    f"/dwv/{name}.js": f"export default globalThis.{glob};"
    for name, glob in {"konva": "Konva", "jszip": "JSZip", "magic-wand-tool": "MagicWand"}.items()
}
PAGE = f"""<!doctype html>
<title>dwv</title>
{"".join(f'<script src="/packages/{path}"></script>' for path in PACKAGES)}
<script type="importmap">{{"imports": {{
  "dwv": "/packages/dwv/dist/dwv.min.js",
  "konva": "/dwv/konva.js", "jszip": "/dwv/jszip.js", "magic-wand-tool": "/dwv/magic-wand-tool.js"
}}}}</script>
<div id="layers" style="width: 900px; height: 800px; position: relative"></div>
<script type="module">
import {{App, AppOptions, ViewConfig}} from "dwv";
window.load = urls => new Promise((resolve, reject) => {{
  const app = new App();
  app.init(new AppOptions({{"*": [new ViewConfig("layers")]}}));
  app.addEventListener("error", event => reject(new Error(String(event.error))));
  app.addEventListener("renderend", () => resolve(app.getActiveLayerGroup().getActiveViewLayer().getId()));
  app.loadURLs(urls);
}});
</script>
"""
PAGES = {PATH: PAGE, **SHIMS}
CANVAS = "document.querySelector('#layers canvas')"


@dataclass(frozen=True)
class Dwv:
    """A page of dwv."""

    page: Page
    url: str

    def open_instance(self, path: str) -> None:
        """Load an instance, by its path at the origin, and wait until it is drawn."""
        self.page.goto(f"{self.url}{PATH}")
        self.page.wait_for_function("() => window.load")
        self.page.evaluate("urls => window.load(urls)", [f"{self.url}{path}"])

    def canvas(self) -> NDArray[np.uint8]:
        """What is drawn."""
        return picture(self.page, CANVAS)
