# SPDX-License-Identifier: Apache-2.0
"""Runs phantom studies through a package's own pipeline, and keeps what the node would keep of each for the watch."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset

from models.drift.bodies import DRAW
from service.dicom.header import read_attributes
from service.dicom.keywords import LEDGER_KEYWORDS
from service.domain.drift import Monitored
from service.domain.instance import Instance
from service.domain.study import Selection
from service.inference.package import LoadedPackage
from service.pipelines import PIPELINES
from service.pipelines.monitored import monitored

_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
UNCHANGED: Final = ""
BROKEN_WINDOW: Final = "window"
"""A change of the files after the scanner: a gateway that halves the window, so that the node shows other greys."""


def _halve_window(dataset: Dataset) -> None:
    if "WindowWidth" in dataset:
        dataset.WindowWidth = float(dataset.WindowWidth) / 2
        return
    dataset.RescaleIntercept = float(dataset.get("RescaleIntercept", 0)) + 24  # CT has no window that counts


CHANGES: Final[dict[str, Callable[[Dataset], None]]] = {BROKEN_WINDOW: _halve_window}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A study to be drawn: with or without disease, on a scanner's setting, and with the files changed or not."""

    seed: int
    setting: str
    diseased: bool
    change: str = UNCHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An order, and what the node would keep of it."""

    order: Order
    monitored: Monitored


def run_order(pipeline: str, package: LoadedPackage, order: Order) -> Row:
    """Draw a study, analyse it as the node does, and return its row."""
    with tempfile.TemporaryDirectory(prefix="drift-") as scratch:
        folder = Path(scratch)
        DRAW[pipeline](folder, seed=order.seed, setting=order.setting, diseased=order.diseased)
        paths = sorted(folder.glob("*.dcm"))
        for path in paths if order.change else ():
            dataset = pydicom.dcmread(path)
            CHANGES[order.change](dataset)
            dataset.save_as(path, enforce_file_format=True)
        instances = tuple(instance_of(path) for path in paths)
        result = PIPELINES[pipeline].run(Selection(instances=instances), package, analysed_at=_AT)
        return Row(order=order, monitored=monitored(result, instances))


def instance_of(path: Path) -> Instance:
    """Return a file as the ledger would know it."""
    attributes = read_attributes(path, LEDGER_KEYWORDS)
    return Instance(
        sop_instance_uid=str(attributes["SOPInstanceUID"]),
        sop_class_uid=str(attributes["SOPClassUID"]),
        study_instance_uid=str(attributes["StudyInstanceUID"]),
        series_instance_uid=str(attributes["SeriesInstanceUID"]),
        transfer_syntax_uid="",
        path=path,
        sha256="",
        size_bytes=path.stat().st_size,
        attributes=attributes,
    )


def read_rows(path: Path) -> list[Row]:
    """Read rows that `append_row` wrote; none where there is no file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [_row(json.loads(line)) for line in lines]


def append_row(path: Path, row: Row) -> None:
    """Add one line of JSON."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(row), sort_keys=True) + "\n")


def _row(document: dict[str, dict[str, object]]) -> Row:
    return Row(order=Order(**document["order"]), monitored=Monitored(**document["monitored"]))  # type: ignore[arg-type]


def missing(orders: Iterable[Order], rows: Iterable[Row]) -> Iterator[Order]:
    """Yield the orders that no row is of."""
    done = {row.order for row in rows}
    return (order for order in orders if order not in done)
