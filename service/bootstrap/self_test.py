# SPDX-License-Identifier: Apache-2.0
"""Sends a self-test study into the running node as a peer does, and asks each destination for its result."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from service.bootstrap.dicomweb import make_destination
from service.bootstrap.self_test_study import SelfTestStudy
from service.domain.entry import AT_THE_DESTINATION, DeliveryRecord, DeliveryState, JobRecord, JobState
from service.domain.errors import ConfigurationError, DeliveryError
from service.domain.event import Event
from service.ports import ObjectReference
from service.settings import DestinationSettings, PeerSettings, Permission, Settings, TlsClientSettings
from service.transport.dicomweb.client import StowClient
from service.transport.store_scu import StoreScu
from service.workflow.context import FlowParts

LOOK_SECONDS = 0.5
HTTP_SECONDS = 30
ENDED = frozenset((JobState.FINISHED, JobState.FAILED, JobState.SUPERSEDED))
EXAMPLE = "{name: selftest, ae_title: DOKUEI_TEST, address: 127.0.0.1, may: [store]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What became of a self test at one destination; `problem` is "" when everything that it took is found there."""

    destination: str
    taken: int
    found: int
    objects: tuple[str, ...]
    problem: str


def sending_peer(settings: Settings, name: str | None) -> PeerSettings:
    """Return the peer that the test sends as: the one that is named, or one that may send from this machine.

    Raises
    ------
    ConfigurationError
        There is none.
    """
    host = node_host(settings)
    able = [peer for peer in settings.peers if name in {None, peer.name} and _may_send(peer, host)]
    preferred = sorted(able, key=lambda peer: peer.name != "selftest")
    if preferred:
        return preferred[0]
    raise ConfigurationError(
        f"no entry of 'peers'{f' is named {name!r} and' if name else ''} may send from {host}, as which the test "
        f"could; add one and restart the node, for example {EXAMPLE}"
    )


def node_host(settings: Settings) -> str:
    """Return where the node is reached from this machine."""
    return reached_at(settings.node.host)


def reached_at(host: str) -> str:
    """Return where what listens at `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what is listened on


def _may_send(peer: PeerSettings, host: str) -> bool:
    try:
        here = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return False
    return peer.ae_title is not None and Permission.STORE in peer.may and any(here in net for net in peer.address)


def send(settings: Settings, peer: PeerSettings, study: SelfTestStudy) -> None:
    """C-STORE the study into the node.

    Raises
    ------
    ConfigurationError
        It was not taken.
    """
    scu = StoreScu(_node_as_destination(settings), ae_title=peer.ae_title or "")
    try:
        statuses = scu.send(study.files)
    except DeliveryError as error:
        raise ConfigurationError(f"the node does not take the study: {error}") from error
    refused = sorted(
        {f"0x{status:04X}" if status is not None else "none" for status in statuses.values() if status != 0}
    )
    if refused:
        raise ConfigurationError(f"the node refused images of the study, status {', '.join(refused)}; its log says why")


def _node_as_destination(settings: Settings) -> DestinationSettings:
    """Return the node as a sender on this machine sees it; over TLS with the node's own certificate."""
    node, place = settings.node, {"name": "node", "ae_title": settings.node.ae_title, "host": node_host(settings)}
    if node.port is not None:
        return DestinationSettings.model_validate({**place, "port": node.port})
    if node.tls is None:
        raise ConfigurationError("the node has no DICOM port")
    tls = TlsClientSettings(
        trusted=node.tls.trusted or node.tls.certificate, certificate=node.tls.certificate, key=node.tls.key
    )
    return DestinationSettings.model_validate({**place, "port": node.tls.port, "tls": tls})


def await_result(parts: FlowParts, study: SelfTestStudy, *, seconds: float) -> JobRecord:
    """Wait until the study is analysed and delivered to whoever is there; return its job.

    Raises
    ------
    ConfigurationError
        It was not in time, or no rule sends it to the pipeline.
    """
    ends = time.monotonic() + seconds
    while True:
        job, is_routed = _job(parts, study)
        if job is not None and job.state in ENDED:
            return job
        if job is None and is_routed:
            raise ConfigurationError(
                f"no rule of config.yaml sends the test study to pipeline {study.pipeline!r}; test another "
                "one (--pipeline)"
            )
        if time.monotonic() > ends:
            state = job.state.value if job else "not closed yet, or matched by no rule"
            raise ConfigurationError(
                f"after {seconds:g} s the study is {state}; is a destination down (`dokuei status`)? --timeout waits "
                "longer"
            )
        time.sleep(LOOK_SECONDS)


def _job(parts: FlowParts, study: SelfTestStudy) -> tuple[JobRecord | None, bool]:
    with parts.ledger.reading() as view:
        record = view.studies.find(study.study_instance_uid)
        jobs = view.jobs.of_study(record.id) if record else ()
    own = [job for job in jobs if job.pipeline == study.pipeline]
    stranded = record is None or record.unclosed or not record.revision
    return (own[-1] if own else None), not stranded and bool(jobs)


def arrivals(parts: FlowParts, job: JobRecord) -> list[Arrival]:
    """Ask every destination whether it has what it took."""
    found = []
    for settings in parts.settings.destinations:
        with parts.ledger.reading() as view:
            rows = view.deliveries.of(job.id, settings.name)
        found.append(_arrival(parts.settings, settings, job, rows))
    return found


def _arrival(settings: Settings, entry: DestinationSettings, job: JobRecord, rows: Sequence[DeliveryRecord]) -> Arrival:
    taken = [row for row in rows if row.state in AT_THE_DESTINATION]
    refused = [row for row in rows if row.state is DeliveryState.REFUSED]
    problem, found = "", frozenset[str]()
    if refused or not taken:
        problem = f"took {len(taken)} object(s) and refused {len(refused)}"
    try:
        found = _found(settings, entry, job, taken)
    except DeliveryError as error:
        problem = problem or f"{error}; does it let {settings.node.ae_title} query (C-FIND, QIDO-RS)?"
    missing = len(taken) - len(found)
    if missing and not problem:
        problem = f"answered success for {missing} object(s) that a query does not find"
    uids = tuple(row.sop_instance_uid for row in taken)
    return Arrival(destination=entry.name, taken=len(taken), found=len(found), objects=uids, problem=problem)


def _found(
    settings: Settings, entry: DestinationSettings, job: JobRecord, rows: Sequence[DeliveryRecord]
) -> frozenset[str]:
    """Ask by C-FIND (study, series, image) or by QIDO-RS."""
    asked = [ObjectReference(sop_class_uid=row.sop_class_uid, sop_instance_uid=row.sop_instance_uid) for row in rows]
    archive = make_destination(entry, ae_title=settings.node.ae_title, observer=_unobserved)
    if not asked or not isinstance(archive, StoreScu | StowClient):
        return frozenset()
    return archive.find_stored(job.study_instance_uid, asked)


def delete_from_orthanc(url: str, study_instance_uid: str) -> bool:
    """Delete the test study from an Orthanc by its REST API; False when it has none.

    Raises
    ------
    DeliveryError
        It does not answer as Orthanc does.
    """
    try:
        found = json.loads(_request(f"{url.rstrip('/')}/tools/lookup", "POST", study_instance_uid.encode()))
        ids = [item["ID"] for item in found if item["Type"] == "Study"]
        for identifier in ids:
            _request(f"{url.rstrip('/')}/studies/{identifier}", "DELETE", None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeliveryError(f"{url} does not answer as Orthanc does: {type(error).__name__}") from error
    return bool(ids)


def _request(url: str, method: str, body: bytes | None) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"--orthanc: {url!r} is no http URL")
    asked = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - http alone, as checked
    with urllib.request.urlopen(asked, timeout=HTTP_SECONDS) as answer:  # noqa: S310
        return bytes(answer.read())


def _unobserved(_event: Event, /) -> None:
    """Let an event pass."""
