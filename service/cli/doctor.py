# SPDX-License-Identifier: Apache-2.0
"""`dokuei doctor`: looks at this machine as the node would, and says what to do about what it finds."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from service.bootstrap.dicomweb import make_destination
from service.bootstrap.packages import configuration_problems, packages_folder, signature_policy
from service.bootstrap.security import ending_soon, security_problems, tls_sections
from service.cli.console import console, print_json
from service.cli.doctor_clock import look_at_clock
from service.cli.doctor_priors import look_at_priors
from service.cli.finding import Finding
from service.cli.status import open_statistics
from service.dicom.pixels import missing_decoders
from service.domain.errors import DestinationUnreachableError, DokueiError
from service.domain.event import Event
from service.inference.listing import check_package
from service.inference.providers import available_devices, provider_order
from service.settings import Settings, StorageSettings, load_settings
from service.storage.database import DATABASE_FILE, database_of
from service.storage.disk_audit import audit_storage
from service.storage.folder import DataFolder, is_shared, lock_owner, open_folder
from service.storage.space import space_problem
from service.transport.syslog_tls import SyslogTls

IN_FLIGHT_SECONDS = 60.0
"""Younger files may still be on their way into the ledger of a running node."""
SHOWN_PATHS = 5

Look = Callable[[Settings], Iterator[Finding]]


def doctor(config: Path, *, as_json: bool) -> int:
    """Print every finding; exit status 1 when something is not well."""
    settings = load_settings(config)
    findings = [finding for look in LOOKS for finding in look(settings)]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _tell(findings)
    return 0 if all(finding.well for finding in findings) else 1


def _tell(findings: list[Finding]) -> None:
    for finding in findings:
        mark, style = ("✓", "green") if finding.well else ("✗", "red")
        console.print(f"{mark} {finding.subject}: {finding.text}", style=style, markup=False, soft_wrap=True)
        if not finding.well and finding.advice:
            console.print(f"    {finding.advice}", markup=False, soft_wrap=True)


def _configuration(settings: Settings) -> Iterator[Finding]:
    problems = configuration_problems(settings)
    if not problems:
        yield Finding(subject="configuration", well=True, text="the node would start with it")
    for problem in problems:
        yield Finding(subject="configuration", well=False, text=problem)
    if not settings.peers:
        yield Finding(
            subject="peers",
            well=False,
            text="no peer may send studies",
            advice="add the PACS under 'peers' with its AE title and address",
        )


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.storage.folder.absolute()
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free, reserve = shutil.disk_usage(place).free, settings.storage.reserve_bytes
    problem = space_problem(place, reserve)
    yield Finding(
        subject="disk",
        well=not problem,
        text=problem or f"{free / 1e9:.1f} GB free at {place}, reserve {reserve / 1e9:.1f} GB",
        advice="the node answers 0xA700 until there is room again; free some space, or move storage.folder",
    )
    yield Finding(
        subject="data folder",
        well=os.access(place, os.W_OK),
        text=f"{place} is {'' if os.access(place, os.W_OK) else 'not '}writable",
        advice="give the node's user the folder: chown it, mode 0700",
    )


def _ledger(settings: Settings) -> Iterator[Finding]:
    storage = settings.storage
    if storage.database_url is None and not (storage.folder / DATABASE_FILE).is_file():
        return  # the node has not run here yet
    place = "PostgreSQL" if storage.database_url else f"SQLite in {storage.folder}"
    try:
        counts = open_statistics(storage).counts()
    except DokueiError as error:
        yield Finding(
            subject="ledger",
            well=False,
            text=f"{place}: {error}",
            advice="is the server running, does storage.database_url name it, and has the node run once?",
        )
        return
    yield Finding(subject="ledger", well=True, text=f"{place}: {sum(counts.pending.values())} task(s) wait")
    yield from _disk_against_ledger(storage)


def _disk_against_ledger(storage: StorageSettings) -> Iterator[Finding]:
    folder = open_folder(storage.folder)
    audit = audit_storage(database_of(storage), folder, grace_seconds=IN_FLIGHT_SECONDS)
    lost = f": {', '.join(audit.missing[:SHOWN_PATHS])}" if audit.missing else ""
    yield Finding(
        subject="files of the ledger",
        well=not audit.missing,
        text=f"{len(audit.missing)} missing{lost}" if audit.missing else f"all there, {audit.files} in all",
        advice="restore them from a backup, or have the PACS send those studies again; see docs/operations.md",
    )
    if audit.orphans or audit.partial:
        text = f"{len(audit.orphans)} file(s) that the ledger does not name, {audit.partial} partial"
        advice = "left by a crash and promised to nobody; the next start of the node puts them away"
        yield Finding(subject="files beside the ledger", well=False, text=text, advice=advice)
    yield from _unclaimed(folder)


def _unclaimed(folder: DataFolder) -> Iterator[Finding]:
    number = sum(1 for _ in folder.unclaimed.iterdir())
    if number:
        yield Finding(
            subject="unclaimed files",
            well=False,
            text=f"{number} whole DICOM file(s) in {folder.unclaimed} that the ledger does not name",
            advice="after a crash: delete them; after restoring a database: send them to the node again (storescu)",
        )


def _ports(settings: Settings) -> Iterator[Finding]:
    node = settings.node
    places = [
        ("DICOM port", node.host, node.port),
        ("DICOM TLS port", node.host, node.tls.port if node.tls else None),
        ("HTTP port", settings.http.host, settings.http.port),
    ]
    if settings.dicomweb is not None:
        places.append(("DICOMweb port", settings.dicomweb.host, settings.dicomweb.listens_on))
    process, shared = lock_owner(settings.storage.folder), is_shared(settings.storage.folder)
    for name, host, port in places:
        if port is None:
            continue
        problem = _bind_problem(host, port)
        ours = bool(problem) and (process is not None or shared)
        yield Finding(
            subject=name,
            well=not problem or ours,
            text=f"{host}:{port} is the running node's ({f'process {process}' if process else 'with --role'})"
            if ours
            else problem or f"{host}:{port} is free",
            advice="something else uses it: stop that, or choose another port",
        )


def _bind_problem(host: str, port: int) -> str:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return f"{host}:{port} cannot be used: {error.strerror}"
    return ""


def _decoders(settings: Settings) -> Iterator[Finding]:  # noqa: ARG001 - one signature for all looks
    missing = missing_decoders()
    yield Finding(
        subject="pixel decoders",
        well=not missing,
        text=f"missing for {', '.join(missing)}" if missing else "one pinned decoder for every transfer syntax",
        advice="reinstall Dokuei with its dependencies",
    )


def _inference(settings: Settings) -> Iterator[Finding]:
    devices, wanted = available_devices(), provider_order(settings.inference.provider)
    absent = [provider for provider in wanted if provider not in devices]
    asked = ", ".join(settings.inference.provider)
    yield Finding(
        subject="ONNX Runtime",
        well=not absent,
        text=f"has {', '.join(devices)}; inference.provider is {asked}"
        + (f": no {', '.join(absent)}" if absent else ""),
        advice="install the extra that brings it ('.[gpu]' or '.[openvino]' instead of '.[cpu]') and the driver of a "
        "GPU, or take it out of inference.provider",
    )


def _packages(settings: Settings) -> Iterator[Finding]:
    for pipeline, choice in settings.pipelines.items():
        for package in (choice, *choice.shadow):
            role = "shadow package" if package in choice.shadow else "package"
            folder = packages_folder(settings) / package.package / package.version
            yield _package(f"{role} of {pipeline}", folder, settings)


def _package(subject: str, folder: Path, settings: Settings) -> Finding:
    try:
        result = check_package(folder, provider=settings.inference.provider, policy=signature_policy(settings))
    except DokueiError as error:
        return Finding(subject=subject, well=False, text=str(error))
    text = f"{result.identity.name} {result.identity.version} ({result.identity.status}): golden results reproduced"
    devices = ", ".join(sorted(set(result.devices.values())))
    moved = "; ".join(result.passed_over.values())
    return Finding(subject=subject, well=not moved, text=f"{text} on {devices}", advice=moved)


def _destinations(settings: Settings) -> Iterator[Finding]:
    for entry in settings.destinations:
        subject = f"destination {entry.name}"
        try:
            make_destination(entry, ae_title=settings.node.ae_title, observer=_unobserved).echo()
        except DestinationUnreachableError as error:
            yield Finding(subject=subject, well=False, text=str(error))
            continue
        here = f"{entry.ae_title} at {entry.host}:{entry.port} answers C-ECHO"
        yield Finding(subject=subject, well=True, text=f"{entry.url} answers DICOMweb" if entry.url else here)


def _certificates(settings: Settings) -> Iterator[Finding]:
    unusable = {problem.partition(":")[0] for problem in security_problems(settings)}  # told under "configuration"
    for place, section in tls_sections(settings):
        if place in unusable:
            continue
        ending = ending_soon(place, section, datetime.now(UTC))
        text = "; ".join(ending) or f"{place}: certificate, key and lists fit together and hold for more than 30 days"
        yield Finding(
            subject="certificates",
            well=not ending,
            text=text,
            advice="replace the files; the node reads them again within seconds, without a restart",
        )


def _collector(settings: Settings) -> Iterator[Finding]:
    if settings.audit is None:
        return
    where = f"{settings.audit.host}:{settings.audit.port}"
    try:
        SyslogTls(settings.audit, host=socket.getfqdn(), observer=_unobserved).probe()
    except DokueiError as error:
        yield Finding(
            subject="audit collector",
            well=False,
            text=str(error),
            advice="messages wait on disk meanwhile; watch dokuei_audit_pending",
        )
        return
    yield Finding(subject="audit collector", well=True, text=f"{where} takes our TLS connection")


def _unobserved(_event: Event, /) -> None:
    """Let an event pass."""


LOOKS: tuple[Look, ...] = (
    _configuration,
    _certificates,
    _disk,
    look_at_clock,
    _ledger,
    _ports,
    _decoders,
    _inference,
    _packages,
    _destinations,
    look_at_priors,
    _collector,
)
