# SPDX-License-Identifier: Apache-2.0
"""Takes the pictures of the status page: `PYTHONPATH=tests:. python -m harness.status_pictures docs/pictures`.

The studies are rows that `harness.ledgers` makes up; nobody's. Japanese needs a font (Debian: fonts-ipafont-gothic).
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from harness.browser import running_browser
from harness.ledgers import data_folder, fill
from harness.status_page import NOW, Recorded, TwoDrifts, make_site, serving, storage_of
from service.storage import create_database, migrate

PICTURES = {
    "status_page.png": ("/status/?lang=en", (1280, 1000)),
    "status_page_ja.png": ("/status/?lang=ja", (1280, 1000)),
    "status_page_study.png": ("/status/study/8?lang=en", (1280, 1000)),
}
COLOURS = 64


def main(target: Path) -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as name:
        folder = data_folder(Path(name))
        writing = create_database(folder)
        migrate(writing)
        fill(writing, NOW)
        storage, reading = storage_of(folder, None)
        site = make_site(storage, reading, Recorded(), drift=TwoDrifts())
        with serving(site) as served, running_browser() as browser:
            for file, (path, (width, height)) in PICTURES.items():
                page = browser.new_page(viewport={"width": width, "height": height})
                page.goto(served.plain + path)
                page.screenshot(path=target / file)
                page.close()
                Image.open(target / file).convert("RGB").quantize(COLOURS).save(target / file, optimize=True)
        reading.dispose()
        writing.dispose()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
