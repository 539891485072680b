# SPDX-License-Identifier: Apache-2.0
"""`dokuei demo`: sample studies go in over DICOM, results come back into an archive, and a person can look at them."""

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.misc import is_dicom
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from service.bootstrap.node import Node
from service.cli.console import console, print_table
from service.cli.status import open_statistics
from service.domain.errors import ConfigurationError
from service.observability.logs import configure_logging
from service.ports import EncodedObject, ResultKind
from service.results.picture.preview import write_preview
from service.settings import DestinationSettings, Settings
from service.storage.statistics import StudyStatus
from service.transport.archive_scp import ArchiveScp
from service.transport.store_scu import StoreScu

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MODALITY = "MODALITY"
DICOM_PORT = 11112
PATIENCE_SECONDS = 300.0
ENDED = {"finished", "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStudy:
    """A folder of DICOM files to be sent."""

    name: str
    study_instance_uid: str
    files: tuple[EncodedObject, ...]


def demo(folder: Path) -> int:
    """Run the demonstration in `folder`; exit status 1 when a study got no result."""
    samples = _samples(folder / "studies")
    for name in ("node", "archive", "previews"):
        shutil.rmtree(folder / name, ignore_errors=True)
    archive = ArchiveScp(folder / "archive")
    archive.start()
    try:
        settings = _settings(folder / "node", archive_port=archive.port)
        studies = _through_the_node(settings, samples, log=folder / "node.log")
    finally:
        archive.stop()
    previews = _previews(archive.arrived, samples, folder / "previews")
    _tell(samples, studies, previews)
    return 0 if all(study.state == "finished" and study.delivered == study.objects for study in studies) else 1


def _samples(folder: Path) -> list[SampleStudy]:
    if not folder.is_dir():
        raise ConfigurationError(f"there are no sample studies in '{folder}'; `make demo` draws them")
    return [_sample(path) for path in sorted(folder.iterdir()) if path.is_dir()]


def _sample(folder: Path) -> SampleStudy:
    paths = sorted(path for path in folder.iterdir() if path.is_file() and is_dicom(path))
    headers = [dcmread(path, stop_before_pixels=True) for path in paths]
    files = tuple(
        EncodedObject(
            kind=ResultKind.HEATMAP,
            sop_class_uid=str(header.SOPClassUID),
            sop_instance_uid=str(header.SOPInstanceUID),
            path=path,
        )
        for path, header in zip(paths, headers, strict=True)
    )
    return SampleStudy(name=folder.name, study_instance_uid=str(headers[0].StudyInstanceUID), files=files)


def _settings(folder: Path, *, archive_port: int) -> Settings:
    return Settings.model_validate(
        {
            "node": {"host": "127.0.0.1", "port": _free_port()},
            "storage": {"folder": folder},
            "peers": [{"name": "modality", "ae_title": MODALITY, "address": "127.0.0.1"}],
            "destinations": [{"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": archive_port}],
            "site": {"profile": "demo"},
            "close": {"quiet_seconds": 5, "settle_seconds": 2},
            "http": {"port": _free_port()},
        }
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _through_the_node(settings: Settings, samples: list[SampleStudy], *, log: Path) -> list[StudyStatus]:
    with (
        log.open("w") as lines,
        _progress() as progress,
        Node(settings, configure_logging(settings.log, file=lines)) as node,
    ):
        node.wait_warm(PATIENCE_SECONDS)
        sending = progress.add_task("sending studies over DICOM", total=len(samples))
        for sample in samples:
            _send(sample, settings)
            progress.advance(sending)
        return _await_results(settings, samples, progress)


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        yield progress


def _send(sample: SampleStudy, settings: Settings) -> None:
    node = DestinationSettings(
        name="node", ae_title=settings.node.ae_title, host="127.0.0.1", port=settings.node.port or DICOM_PORT
    )
    statuses = StoreScu(node, ae_title=MODALITY).send(sample.files)
    refused = [f"{status}" for status in statuses.values() if status != 0]
    if refused:
        raise ConfigurationError(f"the node refused {len(refused)} file(s) of {sample.name}: status {refused[0]}")


def _await_results(settings: Settings, samples: list[SampleStudy], progress: Progress) -> list[StudyStatus]:
    statistics = open_statistics(settings.storage)
    waiting = progress.add_task("results back in the archive", total=len(samples))
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        studies = [study for study in statistics.studies(limit=100) if study.pipeline]
        ended = [study for study in studies if study.state in ENDED]
        progress.update(waiting, completed=len(ended))
        if len(ended) >= len(samples):
            return studies
        time.sleep(0.2)
    return list(statistics.studies(limit=100))


def _previews(arrived: tuple[Path, ...], samples: list[SampleStudy], folder: Path) -> list[Path]:
    """Write one PNG for each picture in the archive, named after the study."""
    names = {sample.study_instance_uid: sample.name for sample in samples}
    headers = {path: dcmread(path, stop_before_pixels=True) for path in arrived}
    pictures = [path for path, header in headers.items() if header.SOPClassUID == SECONDARY_CAPTURE]
    numbers = {path: f"{names[headers[path].StudyInstanceUID]}-{headers[path].InstanceNumber}" for path in pictures}
    return sorted(write_preview(path, folder / f"{name}.png") for path, name in numbers.items())


def _tell(samples: list[SampleStudy], studies: list[StudyStatus], previews: list[Path]) -> None:
    by_uid = {study.study_instance_uid: study for study in studies}
    columns = ("study", "pipeline", "result", "priority", "seconds", "delivered")
    print_table("What came back", columns, [_row(sample, by_uid.get(sample.study_instance_uid)) for sample in samples])
    console.print(f"\n{len(previews)} previews to look at:")
    for preview in previews:
        console.print(f"  {preview}", markup=False)
    console.print("\nDemonstration packages: not for clinical use.", style="yellow")


def _row(sample: SampleStudy, study: StudyStatus | None) -> tuple[str, ...]:
    if study is None:
        return sample.name, "", "NO RESULT", "", "", ""
    seconds = f"{study.seconds:.1f}" if study.seconds is not None else ""
    return sample.name, study.pipeline, study.headline, study.priority, seconds, f"{study.delivered}/{study.objects}"
