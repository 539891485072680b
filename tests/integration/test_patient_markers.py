# SPDX-License-Identifier: Apache-2.0
"""Forty markers in forty elements, every log at debug, everything going wrong: no patient is named anywhere.

The ledger and DICOM objects are the only places where a patient may stand; the webhook's own body names the accession
number on purpose.
"""

import os
import resource
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom import dcmread

from harness.codestreams import JPEG_LS, jpeg, slice_with
from harness.dcmtk import Called, dcmsend, storescu
from harness.hostile import ct_object
from harness.markers import BIRTH_DATE, MARK, PATIENTS, TEXTS, check, marked, uids
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.phantom import PhantomStudy
from harness.processes import free_port, wait_until
from harness.wire import ASSOCIATE_AC, CT_IMAGE, EXPLICIT, Context, Peer, element, even

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]
STUDIES = ("1-chest-film-with-dust-opacities", "4-chest-ct-with-honeycombing", "6-mammography-with-a-mass")


def children(pid: int) -> list[int]:
    """All descendants of a process."""
    tasks = (Path("/proc") / f"{pid}/task").glob("*/children")
    direct = [int(child) for task in tasks for child in task.read_text().split()]
    return direct + [further for child in direct for further in children(child)]


def send_raw(node: NodeProgram, data: bytes, *, syntax: str = EXPLICIT, uid: str = "1.2.3.4", **titles: str) -> None:
    with Peer(node.port) as peer:
        if peer.associate((Context(1, CT_IMAGE, (syntax,)),), **titles).kind == ASSOCIATE_AC:
            peer.store(data, sop_instance_uid=uid)


def hostile(node: NodeProgram) -> None:
    """Objects that are refused, quarantined, or kill a decoder, each naming a patient in all that it says."""
    name, number = element(0x00100010, b"PN", even(f"{MARK}^A")), element(0x00100020, b"LO", even(f"{MARK}-ID", b" "))
    patient = [name, number]
    plain = ct_object(*patient, without=[0x00100010, 0x00100020])
    send_raw(node, ct_object(*patient))  # every identity twice
    send_raw(node, plain[:-60])
    send_raw(node, plain, uid=f"1.2.{MARK}")
    send_raw(node, plain, uid="1.2.3.99")
    send_raw(node, element(0x00080005, b"CS", even(f"{MARK}_CODEC", b" ")) + plain)
    send_raw(node, plain, calling=MARK)
    send_raw(node, plain, called=MARK)
    bomb = slice_with(jpeg(0xF7, 65_500, 65_500, bits=16), rows=8, columns=8, bits=16, uid="1.2.3.77")
    send_raw(node, bomb.replace(even("ATTACK^A", b" "), even("ZZMARK^A", b" ")), syntax=JPEG_LS, uid="1.2.3.77")


def pages(node: NodeProgram) -> str:
    """All that the HTTP port says, in every format."""
    said = ""
    for path in ("/metrics", "/readyz", "/livez"):
        for accept in ("text/plain", "application/openmetrics-text", "application/json"):
            with suppress(urllib.error.HTTPError):  # not ready yet
                said += page(f"http://127.0.0.1:{node.http_port}{path}", accept)
    return said


def page(url: str, accept: str) -> str:
    request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310 - our own port
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return str(answer.read().decode())


def process_table(pids: list[int]) -> str:
    """Titles, arguments and environments of processes; of one that has ended meanwhile, what could be read."""
    said = ""
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            for name in ("cmdline", "environ", "comm"):
                said += (Path("/proc") / f"{pid}/{name}").read_text(errors="replace") + "\n"
    return said


def core_limit(pid: int) -> str:
    lines = (Path("/proc") / f"{pid}/limits").read_text().splitlines()
    return next(line.split()[4] for line in lines if line.startswith("Max core file size"))


def test_no_patient_is_named_outside_ledger_and_objects(
    orthanc: Orthanc,
    start_node: Callable[..., NodeProgram],
    phantom_study: PhantomStudy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    webhooks = [{"name": "ris", "url": f"http://127.0.0.1:{free_port()}/closed", "timeout_seconds": 1}]
    orthanc.kill()  # the PACS is down while everything arrives
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))  # a site that allows core dumps
    node = start_node(orthanc, webhooks=webhooks, site={"profile": "demo"}, log={"level": "debug"})
    identities: set[str] = {BIRTH_DATE}
    for study in STUDIES:
        files = [marked(path, tmp_path / study / path.name) for path in sorted(phantom_study(study).glob("*.dcm"))]
        identities |= {uid for path in files for uid in uids(path)}
        assert dcmsend(node.called, files).returncode == 0
    film = tmp_path / STUDIES[0] / "film.dcm"
    hostile(node)
    changed = dcmread(film)
    changed.StudyDescription = f"{MARK} changed"
    changed.save_as(tmp_path / "changed.dcm")
    storescu(node.called, [tmp_path / "changed.dcm"])  # a conflict
    storescu(Called(node.port, calling="STRANGER"), [film])
    wait_until(lambda: bool(children(node.pid)), seconds=60, what="no child")
    for child in children(node.pid):
        os.kill(child, signal.SIGKILL)  # the worker dies with a study in its hands
    wait_until(
        lambda: any(event["status"] == "unreachable" for event in node.events("object_delivered")),
        seconds=240,
        what="no delivery failed",
    )
    table = process_table([node.pid, *children(node.pid)])
    assert str(node.config) in table
    said = pages(node) + table
    orthanc.start()
    node.wait_for_results(3, seconds=400)
    said += pages(node)
    status = subprocess.run(
        [sys.executable, "-m", "service", "status", str(node.config)], capture_output=True, text=True, check=False
    )
    names = "\n".join(str(path.relative_to(node.folder)) for path in node.folder.rglob("*"))

    events = {"instance_received", "association_rejected", "notification_sent", "object_delivered", "result_ready"}
    assert all(node.events(event) for event in events)
    assert any(event["status"] == "failed" for event in node.events("notification_sent"))
    check(node.log, "the log", more=identities)
    check(said, "a page or the process table", more=identities)
    check(names, "the name of a file", more=identities)
    check(status.stdout + status.stderr, "dokuei status", more={BIRTH_DATE})
    assert core_limit(node.pid) == "0", "a core dump would hold patients"

    stored = list((node.folder / "data" / "instances").rglob("*.dcm"))
    assert all(MARK in str(dcmread(path, stop_before_pixels=True).PatientID) for path in stored[:3])


def test_the_markers_would_be_found(tmp_path: Path, phantom_study: PhantomStudy) -> None:
    source = next(phantom_study(STUDIES[0]).glob("*.dcm"))
    data = marked(source, tmp_path / "marked.dcm").read_bytes().decode("latin-1")
    assert len(set(TEXTS)) == 36
    assert all(f"{MARK}{number:02d}" in data for number in range(1, 40))
    assert BIRTH_DATE in data
    assert PATIENTS.search("PHANTOM^TARO")
    with pytest.raises(AssertionError, match="the log"):
        check(f"a line with {MARK}05", "the log")
