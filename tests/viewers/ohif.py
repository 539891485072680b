# SPDX-License-Identifier: Apache-2.0
"""OHIF as a reader uses it: open a study, open a series by its thumbnail, and see what is drawn."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from pydicom.dataset import Dataset

from harness.browser import PATIENCE_MS, picture

CONFIGURATION = f"""
window.config = {
    json.dumps(
        {
            "routerBasename": "/",
            "extensions": [],
            "modes": [],
            "showStudyList": True,
            "maxNumberOfWebWorkers": 2,
            "showWarningMessageForCrossOrigin": True,
            "showCPUFallbackMessage": True,
            "showLoadingIndicator": True,
            "strictZSpacingForVolumeViewport": True,
            "investigationalUseDialog": {"option": "never"},
            "defaultDataSourceName": "archive",
            "dataSources": [
                {
                    "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
                    "sourceName": "archive",
                    "configuration": {
                        "friendlyName": "archive",
                        "name": "archive",
                        "wadoUriRoot": "/wado",
                        "qidoRoot": "/dicom-web",
                        "wadoRoot": "/dicom-web",
                        "qidoSupportsIncludeField": False,
                        "imageRendering": "wadors",
                        "thumbnailRendering": "wadors",
                        "enableStudyLazyLoad": True,
                        "supportsFuzzyMatching": False,
                        "supportsWildcard": True,
                        "singlepart": "pdf",
                        "bulkDataURI": {"enabled": True},
                    },
                }
            ],
        }
    )
};
"""
"""app-config.js: the archive of this origin, and otherwise what OHIF does by default."""

NO_TOUR = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))"
"""Run before the page: OHIF greets a new reader with a tour that covers everything."""

VIEWPORT = """
  const {viewportGridService: grid, cornerstoneViewportService: drawing} = window.services ?? {};
  const viewport = grid && drawing.getCornerstoneViewport(grid.getActiveViewportId());
"""
SHOWN = f"() => {{ {VIEWPORT} return viewport?.getCurrentImageId?.() ?? null }}"
TO_IMAGE = """
  const imageId = viewport.getCurrentImageId();
  const toImage = ([x, y]) => cornerstone.utilities.worldToImageCoords(imageId, viewport.canvasToWorld([x, y]));
"""
DRAWN = f"""() => {{ {VIEWPORT}
  if (!viewport?.getCurrentImageId?.()) return [];
  {TO_IMAGE}
  const shapes = [...viewport.element.querySelectorAll('svg polyline, svg path[points]')];
  return shapes.map(shape => [...shape.points].map(point => toImage([point.x, point.y])));
}}"""
SCROLL = f"""uid => {{ {VIEWPORT}
  return viewport.setImageIdIndex(viewport.getImageIds().findIndex(imageId => imageId.includes(uid)));
}}"""
CORNERS = f"""() => {{ {VIEWPORT}
  const imageId = viewport.getCurrentImageId();
  const {{rows, columns}} = cornerstone.metaData.get('imagePixelModule', imageId);
  const ratio = window.devicePixelRatio;
  const onCanvas = point => viewport.worldToCanvas(cornerstone.utilities.imageToWorldCoords(imageId, point));
  return [[0, 0], [columns, rows]].map(point => onCanvas(point).map(value => value * ratio));
}}"""

STATE = f"""() => {{ {VIEWPORT}
  const sets = [...(grid?.getState().viewports.values() ?? [])].flatMap(each => each.displaySetInstanceUIDs ?? []);
  const modalities = sets.map(uid => services.displaySetService.getDisplaySetByUID(uid)?.Modality);
  const annotations = window.cornerstoneTools?.annotation?.state?.getAllAnnotations?.()?.length;
  return JSON.stringify({{modalities, status: viewport?.viewportStatus, image: ({SHOWN})(), annotations}});
}}"""
"""For messages: the modalities of the open series, how far the active viewport is, and what is in it."""


@dataclass(frozen=True)
class Ohif:
    """A page of OHIF."""

    page: Page
    url: str

    def open_study(self, study_instance_uid: str) -> None:
        """Open a study and wait until its first image is there."""
        self.page.add_init_script(NO_TOUR)
        self.page.goto(f"{self.url}/viewer?StudyInstanceUIDs={study_instance_uid}")
        self.page.wait_for_selector("canvas.cornerstone-canvas")
        self.page.wait_for_function(SHOWN)

    def display_sets(self) -> list[dict[str, Any]]:
        """What OHIF lists: modality, series UID and number, and whether it says that it cannot show it."""
        keys = ["displaySetInstanceUID", "Modality", "SeriesInstanceUID", "SeriesNumber", "unsupported"]
        return list(
            self.page.evaluate(
                "keys => services.displaySetService.getActiveDisplaySets()"
                ".map(set => Object.fromEntries(keys.map(key => [key, set[key] ?? null])))",
                keys,
            )
        )

    def open_series(self, series_instance_uid: str) -> None:
        """Double-click a series' thumbnail."""
        (found,) = [each for each in self.display_sets() if each["SeriesInstanceUID"] == series_instance_uid]
        thumbnail = self.page.locator(f"[id='thumbnail-{found['displaySetInstanceUID']}']")
        thumbnail.scroll_into_view_if_needed()
        thumbnail.dblclick()

    def wait_for_series(self, images: Iterable[Dataset]) -> None:
        """Wait until one of these images is in the active viewport."""
        uids = [str(image.SOPInstanceUID) for image in images]
        self.page.wait_for_function(f"uids => uids.some(uid => ({SHOWN})()?.includes(uid))", arg=uids)

    def shown_instance(self) -> str:
        """SOP Instance UID of the image in the active viewport."""
        image = str(self.page.evaluate(SHOWN))
        return image.split("/instances/")[1].split("/", maxsplit=1)[0]

    def drawn(self) -> list[NDArray[np.float64]]:
        """The outlines drawn over the image, (n, 2) in columns and rows of the image, from the lines on the screen."""
        return [np.array(points, dtype=np.float64) for points in self.page.evaluate(DRAWN)]

    def scroll_to(self, sop_instance_uid: str) -> None:
        """Scroll the active viewport to an image of its series."""
        self.page.evaluate(SCROLL, sop_instance_uid)
        self.page.wait_for_function(f"uid => ({SHOWN})().includes(uid)", arg=sop_instance_uid)

    def open_drawn(self, series_instance_uid: str, count: int) -> None:
        """Open a report and wait until exactly so many outlines are drawn; like a reader, click again if nothing comes.

        A double click on a page that has just opened was seen to come to nothing, one time in three.
        """
        for patience_ms in (PATIENCE_MS / 3, PATIENCE_MS / 3, PATIENCE_MS):
            self.open_series(series_instance_uid)
            with suppress(PlaywrightTimeoutError):
                self.wait_for_drawn(count, patience_ms=patience_ms)
                return
        raise AssertionError(f"{len(self.drawn())} outlines are drawn, not {count}: {self.page.evaluate(STATE)}")

    def wait_for_drawn(self, count: int, *, patience_ms: float = PATIENCE_MS) -> None:
        """Wait until exactly so many outlines are drawn."""
        self.page.wait_for_function(f"count => ({DRAWN})().length == count", arg=count, timeout=patience_ms)

    def change_window(self) -> None:
        """Drag a little over the image, which changes its window and lets OHIF draw everything again."""
        box = self.page.locator("canvas.cornerstone-canvas").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + 4, y + 4, steps=4)
        self.page.mouse.up()

    def canvas(self) -> NDArray[np.uint8]:
        """What is drawn on the active viewport's canvas: images and segments, no lines, no letters."""
        return picture(self.page, f"(() => {{ {VIEWPORT} return viewport.canvas }})()")

    def corners(self) -> NDArray[np.float64]:
        """Where the image's top-left and bottom-right corners lie on the canvas, in pixels."""
        return np.array(self.page.evaluate(CORNERS), dtype=np.float64)
