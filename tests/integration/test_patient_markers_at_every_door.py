# SPDX-License-Identifier: Apache-2.0
"""Forty markers through the doors that test_patient_markers leaves shut: STOW-RS, TLS, refusals, commands.

The validator that holds objects back here quotes what it finds, as dciodvfy does, and names the patient on purpose.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt
from typer.testing import CliRunner

from harness.authority import Authority
from harness.hostile import ct_object
from harness.markers import BIRTH_DATE, MARK, check, marked, uids
from harness.node import NodeProgram
from harness.phantom import PhantomStudy
from harness.processes import free_port, wait_until
from harness.stow import TOKEN, multipart, post
from harness.wire import CONTEXTS, Peer, associate_rq, item, user_information
from service.cli.app import app

pytestmark = pytest.mark.timeout(600)
FILM = "1-chest-film-with-dust-opacities"
PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
QUOTING = f"""#!/bin/sh
for file; do :; done
if grep -q '{PRESENTATION_STATE}' "$file"; then
  echo "Error - </ContentLabel(0070,0080)[1]> - of {MARK}01 born {BIRTH_DATE} = <{MARK} TARO> - {{study}}" >&2
  echo "Error - Patient's Name = [{MARK}] '{MARK}09' ({MARK}) {{study}}" >&2
fi
"""


@contextmanager
def refusing_archive() -> Iterator[int]:
    """An archive that takes every association and refuses every object for good, quoting it."""
    entity, port = AE("PACS"), free_port()
    entity.supported_contexts = AllStoragePresentationContexts
    answer = lambda _event: 0xA900  # noqa: E731
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, answer)])
    try:
        yield port
    finally:
        server.shutdown()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def configuration(folder: Path, authority: Authority, pacs_port: int) -> dict[str, Any]:
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    pair = authority.issue("node")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key), "trusted": str(authority.certificate)}
    pacs = {
        "ae_title": "PACS",
        "host": "127.0.0.1",
        "port": pacs_port,
        "retry_first_seconds": 0.2,
        "retry_max_seconds": 1,
    }
    return {
        "node": {"host": "127.0.0.1", "port": free_port(), "tls": {**tls, "port": free_port()}},
        "dicomweb": {"port": free_port()},
        "peers": [
            {"name": "modality", "ae_title": "MODALITY", "address": "127.0.0.1"},
            {"name": "gateway", "address": "127.0.0.1", "token_file": str(token)},
        ],
        "destinations": [{"name": "refusing", **pacs}, {"name": "sealed", **pacs, "tls": {**tls}}],
        "audit": {"host": "127.0.0.1", "port": free_port(), "tls": {**tls}},
    }


def quoting_validator(folder: Path, study: str) -> str:
    """A search path on which the first dciodvfy quotes patients."""
    folder.mkdir()
    program = folder / "dciodvfy"
    program.write_text(QUOTING.format(study=study))
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def over_the_web(port: int, film: Path, study: str) -> None:
    """A study that is taken, and everything that a client can say wrongly, naming a patient each time."""
    whole = film.read_bytes()
    assert post(port, multipart([whole])).status == 200
    assert post(port, multipart([whole[:-5_000]])).status != 200
    assert post(port, multipart([MARK.encode() * 1_000])).status != 200
    post(port, multipart([whole]), path=f"/dicom-web/studies/{MARK}")
    post(port, multipart([whole]), path=f"/dicom-web/studies/{study}.1?PatientName={MARK}")
    post(port, multipart([whole]), method="GET", path=f"/dicom-web/studies?PatientID={MARK}")
    for header in ({"Authorization": f"Bearer {MARK}"}, {"Content_Type": f"text/{MARK}"}, {f"X-{MARK}": MARK}):
        post(port, multipart([whole]), **header)
    post(port, multipart([whole], headers=f"Content-Type: application/dicom; name={MARK}"))
    post(port, multipart([whole], boundary=MARK), Content_Type=f"multipart/related; boundary={MARK}")


def over_tls(port: int, authority: Authority, stranger: Authority) -> None:
    """Handshakes that fail: plain DICOM, no certificate, and one of a stranger with a patient's name in it."""
    with Peer(port) as peer, suppress(OSError, TimeoutError):
        peer.associate(calling=MARK)
    pair = stranger.issue(f"{MARK}.example")
    for shown in (None, pair):
        context = ssl.create_default_context(cafile=str(authority.certificate))
        context.check_hostname = False
        if shown:
            context.load_cert_chain(shown.certificate, shown.key)
        with suppress(OSError, TimeoutError), Peer(port, tls=context) as peer:
            peer.associate()


def over_dicom(port: int) -> None:
    """Associations and objects that name a patient where nobody looks for one."""
    for more in (item(0x58, bytes([2, 1]) + _counted(MARK) + _counted("secret")), item(0x55, MARK.encode())):
        request = associate_rq(CONTEXTS, information=user_information(more=more))
        with Peer(port) as peer, suppress(OSError, TimeoutError):
            peer.send(request)
            peer.read(seconds=3)
    with Peer(port) as peer:
        peer.associate()
        peer.store(ct_object(uid=f"1.2.{MARK}"), sop_instance_uid=f"1.2.{MARK}")


def _counted(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


def commands(config: Path, film: Path) -> dict[str, str]:
    """What every command says that a person at night runs, none of them asked for identities."""
    lines = [
        *(["quarantine", "show", str(number), "CONFIG"] for number in range(1, 5)),
        *([*words, "CONFIG"] for words in (["status"], ["held"], ["quarantine", "list"], ["shadows"], ["check"])),
        *([*words, "CONFIG", "--json"] for words in (["status"], ["held"], ["quarantine", "list"], ["shadows"])),
        ["doctor", "CONFIG"], ["doctor", "CONFIG", "--json"], ["retry", "CONFIG"], ["route", str(film), "-c", "CONFIG"],
        ["quarantine", "show", "1", "CONFIG", "--json"], ["quarantine", "release", "1", "CONFIG"], ["reload", "CONFIG"],
    ]  # fmt: skip
    answers = {" ".join(words): [str(config) if word == "CONFIG" else word for word in words] for words in lines}
    return {command: said_by(words) for command, words in answers.items()}


def said_by(words: list[str]) -> str:
    """What a command prints, its refusal included."""
    result = CliRunner().invoke(app, words)
    return f"{result.output}\n{result.exception or ''}"


def process_titles(pid: int) -> str:
    """Command lines and names of the node's processes and of each of their threads."""
    places = [Path("/proc") / str(pid)]
    for children in places[0].glob("task/*/children"):
        places += [Path("/proc") / child for child in children.read_text().split()]
    files = [path for place in places for path in (place / "cmdline", *place.glob("task/*/comm"))]
    return "\n".join(path.read_text(errors="replace") for path in files if path.exists())


def test_no_patient_is_named_at_any_door(tmp_path: Path, authority: Authority, phantom_study: PhantomStudy) -> None:
    (source,) = sorted(phantom_study(FILM).glob("*.dcm"))[:1]
    film = marked(source, tmp_path / "film.dcm")
    identities = {BIRTH_DATE, *uids(film)}
    with refusing_archive() as pacs_port:
        changes = configuration(tmp_path, authority, pacs_port)
        node = NodeProgram(tmp_path / "node", pacs=("PACS", pacs_port), changes=changes)
        node.port = changes["node"]["port"]
        study = next(uid for uid in uids(film))
        node.environment = {**os.environ, "PATH": quoting_validator(tmp_path / "bin", study)}
        node.start()
        try:
            over_the_web(changes["dicomweb"]["port"], film, study)
            over_tls(changes["node"]["tls"]["port"], authority, Authority(tmp_path / "stranger", name=f"{MARK} CA"))
            over_dicom(node.port)
            wait_until(lambda: len(refused(node)) >= 3 and bool(unreachable(node)), seconds=200, what="no refusal")
            said = node.http("/metrics")[1] + node.http("/readyz")[1] + node.http(f"/{MARK}")[1]
            said += process_titles(node.pid)
            told = commands(node.config, film)
        finally:
            node.stop()  # and its log is searched for markers
    names = "\n".join(str(path.relative_to(node.folder)) for path in node.folder.rglob("*"))
    assert node.events("object_held")
    assert node.events("instance_received")
    check(node.log, "the log", more=identities)
    check(said, "a page or the process table", more=identities)
    check(names, "the name of a file", more=identities)
    for command, output in told.items():
        assert output.strip() or command.startswith(("retry", "shadows")), command
        check(output, f"dokuei {command}", more={BIRTH_DATE})
    assert "Traceback" not in node.log


def refused(node: NodeProgram) -> list[dict[str, Any]]:
    return [event for event in node.events("object_delivered") if event["status"] == "refused"]


def unreachable(node: NodeProgram) -> list[dict[str, Any]]:
    return [event for event in node.events("object_delivered") if event["status"] == "unreachable"]
