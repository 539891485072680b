# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium without a screen, its WebGL in software, driven by Playwright.

Playwright waits for what a page is to show and reads it in one call; selenium would need a driver of the browser's own
version and loops of our own. No browser of Playwright's is downloaded.
"""

import base64
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--no-sandbox",  # tests run as root, too, and see no page but ours
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
)
SIZE = {"width": 1280, "height": 900}
PATIENCE_MS = 150_000
"""A viewer draws in software: the slowest test takes 53 s on a quiet machine, and others run beside it."""


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Yield a running Chromium."""
    with sync_playwright() as playwright:
        playwright.selectors.set_test_id_attribute("data-cy")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@contextmanager
def new_page(browser: Browser) -> Iterator[Page]:
    """Yield a page of a profile of its own; an exception that the page does not catch fails the test."""
    context = browser.new_context(viewport=SIZE)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors, errors


def picture(page: Page, canvas: str) -> NDArray[np.uint8]:
    """Return what a canvas shows, (rows, columns, 3) RGB, without what lies over it; `canvas` is a JS expression."""
    url = page.evaluate(f"({canvas}).toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))
