# SPDX-License-Identifier: Apache-2.0
"""`dokuei selftest`: is everything there, from the sender to the archive?"""

import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.bootstrap.desk import open_desk
from service.bootstrap.self_test import Arrival, arrivals, await_result, delete_from_orthanc, send, sending_peer
from service.bootstrap.self_test_study import SelfTestStudy, self_test_study
from service.cli.console import complain, console, print_json
from service.domain.entry import JobRecord
from service.domain.errors import ConfigurationError, DeliveryError, PackageError
from service.domain.self_test import PATIENT_ID
from service.settings import Settings, load_settings
from service.storage.folder import is_shared, lock_owner

CANNOT = 2


def selftest(
    config: Path, *, pipeline: str | None, peer: str | None, seconds: float, orthanc: str | None, as_json: bool
) -> int:
    """Make the test; exit status 1 when a destination lacks the result, 2 when the test cannot be made."""
    settings = load_settings(config)
    try:
        name = _pipeline(settings, pipeline)
        study, job, found, took = _through_the_node(settings, name, peer, seconds=seconds)
    except (ConfigurationError, PackageError) as error:
        complain(str(error))
        return CANNOT
    deleted = _deleted(orthanc, study)
    well = all(not arrival.problem for arrival in found) and job.outcome != ""
    document: dict[str, Any] = {
        "passed": well,
        "pipeline": study.pipeline,
        "outcome": job.outcome,
        "seconds": round(took, 1),
        "study_instance_uid": study.study_instance_uid,
        "patient_id": PATIENT_ID,
        "images": len(study.files),
        "destinations": [asdict(arrival) for arrival in found],
        "deleted": deleted,
    }
    print_json(document) if as_json else _tell(document, found)
    return 0 if well else 1


def _pipeline(settings: Settings, name: str | None) -> str:
    if not settings.destinations:
        raise ConfigurationError("there is no destination that a result could go to")
    if name is not None and name not in settings.pipelines:
        known = ", ".join(sorted(settings.pipelines))
        raise ConfigurationError(f"pipeline {name!r} is not configured; known: {known}")
    if lock_owner(settings.storage.folder) is None and not is_shared(settings.storage.folder):
        raise ConfigurationError(f"no node uses storage.folder '{settings.storage.folder}'; start it first")
    return name or next(iter(settings.pipelines))


def _through_the_node(
    settings: Settings, pipeline: str, peer: str | None, *, seconds: float
) -> tuple[SelfTestStudy, JobRecord, list[Arrival], float]:
    sender, started = sending_peer(settings, peer), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dokuei-selftest-") as scratch, open_desk(settings) as parts:
        study = self_test_study(settings, pipeline, Path(scratch), now=datetime.now(UTC).astimezone())
        send(settings, sender, study)
        job = await_result(parts, study, seconds=seconds)
        took = time.monotonic() - started
        return study, job, arrivals(parts, job), took


def _deleted(orthanc: str | None, study: SelfTestStudy) -> bool:
    if orthanc is None:
        return False
    try:
        return delete_from_orthanc(orthanc, study.study_instance_uid)
    except DeliveryError as error:
        complain(f"the test study was not deleted: {error}")
        return False


def _tell(document: dict[str, Any], found: list[Arrival]) -> None:
    console.print(
        f"{document['images']} image(s) of {document['pipeline']} came to '{document['outcome']}' "
        f"in {document['seconds']} s"
    )
    for arrival in found:
        mark, style = ("✗", "red") if arrival.problem else ("✓", "green")
        text = arrival.problem or f"has all {arrival.found} object(s) that it took"
        console.print(f"{mark} {arrival.destination}: {text}", markup=False, style=style, soft_wrap=True)
    if document["deleted"]:
        console.print("the test study is deleted at Orthanc")
    elif found:
        console.print(
            f"left at the destinations, to be deleted by hand: study {document['study_instance_uid']} of patient "
            f"{PATIENT_ID}; the node's own copies go by `retention`",
            markup=False,
            soft_wrap=True,
        )
