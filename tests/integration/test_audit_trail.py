# SPDX-License-Identifier: Apache-2.0
"""The audit trail from what happens to the collector: every transfer, none lost, and a bounded buffer."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from lxml import etree

from fakes import Recorder, ct_dataset, incoming
from harness.authority import Authority
from harness.collector import Collector
from node import SETTINGS, Node, running
from service.audit import Reporter
from service.audit.xml import Source
from service.domain.audit import AuditText
from service.domain.event import AssociationRejected, AuditCollectorLost, AuditCollectorReached, AuditDropped, AuditSent
from service.settings import AuditSettings, Settings
from service.storage import SqlLedger, create_database, migrate
from service.transport.syslog_tls import CollectorError, SyslogTls
from service.workflow import AuditShipper, AuditTrail, SecurityAlerts

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).parents[1] / "unit" / "audit" / "audit-message.rng"))
REPORTER = Reporter(process_id="1", ae_title="DOKUEI", host="cad", source=Source(id="cad"))
AUDITED: Settings = SETTINGS.model_copy(
    update={
        "peers": Settings.model_validate({"peers": [{"name": "ct", "ae_title": "CT1", "address": "10.0.0.7"}]}).peers
    }
)


def parsed(text: str | bytes) -> Any:
    root = etree.fromstring(text)
    SCHEMA.assertValid(root)
    return root


def code(root: Any) -> str:
    return str(root.find("EventIdentification/EventID").get("csd-code"))


def wait(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)


# --- what happens is written ------------------------------------------------------------------------------------------


def audited() -> dict[str, Any]:
    return {"settings": AUDITED, "audit": AuditTrail(AUDITED, REPORTER)}


def written(node: Node) -> list[Any]:
    return [parsed(text) for (text,) in node.rows("SELECT text FROM audit_message ORDER BY id")]


def test_every_transfer_is_written_once_with_one_patient(tmp_path: Path) -> None:
    with running(tmp_path, **audited()) as node:
        for study in (1, 2):
            for number in (1, 2):
                node.receive(incoming(ct_dataset(study, number)))
            node.receive(incoming(ct_dataset(study, 1)))  # a duplicate is no new transfer
        node.wait(lambda: Counter(map(code, written(node))) == {"110104": 4, "110102": 2})
        messages = written(node)
    received = [root for root in messages if root.find("EventIdentification").get("EventActionCode") == "C"]
    assert {patient(root): counts(root) for root in received} == {"P1": ["2"], "P2": ["2"]}
    sender = received[0].findall("ActiveParticipant")[0]
    assert (sender.get("UserID"), sender.get("AlternativeUserID")) == ("CT1", "ct")
    assert sender.get("NetworkAccessPointID") == "10.0.0.7"
    begun, sent = ([root for root in messages if action(root) == letter] for letter in "ER")
    assert sorted(map(patient, begun)) == sorted(map(patient, sent)) == ["P1", "P2"]
    assert messages.index(begun[0]) < messages.index(sent[0])


def test_a_later_revision_tells_what_is_new_in_it(tmp_path: Path) -> None:
    with running(tmp_path, **audited()) as node:
        for number in (1, 2):
            node.receive(incoming(ct_dataset(1, number)))
        node.wait(lambda: len([1 for root in written(node) if action(root) == "C"]) == 1)
        node.receive(incoming(ct_dataset(1, 3)))
        node.wait(lambda: len([1 for root in written(node) if action(root) == "C"]) == 2)
        assert [counts(root) for root in written(node) if action(root) == "C"] == [["2"], ["1"]]


def test_a_destination_that_is_down_is_told_of_once_and_its_refusal_too(tmp_path: Path) -> None:
    with running(tmp_path, **audited()) as node:
        node.destination.down = True
        for number in (1, 2):
            node.receive(incoming(ct_dataset(1, number)))
        node.wait(lambda: node.rows("SELECT coalesce(max(attempts), 0) FROM delivery") >= [(2,)])
        assert Counter(map(code, written(node))) == {"110104": 1, "110102": 1}
        node.destination.status = 0xA900
        node.destination.down = False
        node.wait(lambda: Counter(map(code, written(node))) == {"110104": 2, "110102": 1})
        last = written(node)[-1].find("EventIdentification")
    assert (last.get("EventActionCode"), last.get("EventOutcomeIndicator")) == ("R", "8")


def test_without_an_audit_section_nothing_is_kept(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        for number in (1, 2):
            node.receive(incoming(ct_dataset(1, number)))
        node.wait(lambda: bool(node.destination.stored()))
        assert written(node) == []


def test_ten_thousand_strangers_leave_a_handful_of_messages(tmp_path: Path) -> None:
    node = Node(tmp_path, **audited())
    alerts = SecurityAlerts()
    alerts.start(AuditTrail(AUDITED, REPORTER), node.ledger, now=time.time)
    for number in range(10_000):
        alerts(AssociationRejected(peer="other", reason="calling_ae", address="10.9.9.9", calling_ae=f"A{number}"))
    alerts.stop()
    messages = written(node)
    node.database.dispose()
    assert 1 <= len(messages) <= 3
    assert {code(root) for root in messages} == {"110113"}


def patient(root: Any) -> str:
    return str(root.findall("ParticipantObjectIdentification")[1].get("ParticipantObjectID"))


def action(root: Any) -> str:
    return str(root.find("EventIdentification").get("EventActionCode"))


def counts(root: Any) -> list[str]:
    return [element.get("NumberOfInstances") for element in root.findall(".//SOPClass")]


# --- what is written reaches the collector ----------------------------------------------------------------------------


class Buffer:
    """A ledger with audit messages, and a shipper to a collector."""

    def __init__(self, folder: Path, authority: Authority, *, port: int, max_pending: int = 200_000) -> None:
        folder.mkdir(exist_ok=True)
        self.leads = True
        self.database = create_database(folder)
        migrate(self.database)
        self.ledger = SqlLedger(self.database, root=folder, enqueue=lambda _connection, _task: None)
        self.observer = Recorder()
        pair = authority.issue("cad.example")
        files = {"trusted": authority.certificate, "certificate": pair.certificate, "key": pair.key}
        self.settings = AuditSettings.model_validate(
            {"host": "127.0.0.1", "port": port, "tls": files, "timeout_seconds": 2}
        )
        self.trail = AuditTrail(AUDITED, REPORTER)
        self.link = SyslogTls(self.settings, host="cad.example", observer=self.observer)
        self.shipper = AuditShipper(
            self.trail,
            self.ledger,
            self.link,
            observer=self.observer,
            max_pending=max_pending,
            now=time.time,
            confirm_seconds=0.2,
            leads=lambda: self.leads,
        )

    def add(self, count: int) -> None:
        with self.ledger.transaction() as transaction:
            for number in range(count):
                text = REPORTER.activity(started=True, at=number).text
                transaction.audit.add(AuditText(severity=5, text=text), at=float(number))

    def waiting(self) -> int:
        with self.database.connect() as connection:
            return int(connection.execute(sa.text("SELECT count(*) FROM audit_message")).scalar_one())

    def stop(self) -> None:
        self.shipper.stop(10)
        self.link.close()
        self.database.dispose()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def collector(authority: Authority) -> Iterator[Collector]:
    made = Collector(authority).start()
    yield made
    made.close()


@pytest.fixture
def buffer(tmp_path: Path, authority: Authority, collector: Collector) -> Iterator[Buffer]:
    made = Buffer(tmp_path / "data", authority, port=collector.port)
    yield made
    made.stop()


def test_messages_arrive_in_order_in_frames_and_are_forgotten(buffer: Buffer, collector: Collector) -> None:
    buffer.add(1_200)
    buffer.shipper.start()
    wait(lambda: buffer.waiting() == 0)
    buffer.add(1)
    wait(lambda: buffer.waiting() == 0)
    assert collector.errors == []
    assert [message.sequence for message in collector.messages] == list(range(1, 1_202))
    assert {message.priority for message in collector.messages} == {85}
    for message in collector.messages[::100]:
        parsed(message.xml)
    assert sum(event.count for event in buffer.observer.of(AuditSent)) == 1_201


def test_of_several_members_only_the_one_that_leads_ships(buffer: Buffer, collector: Collector) -> None:
    buffer.leads = False
    buffer.add(10)
    buffer.shipper.start()
    time.sleep(1.5)
    assert (buffer.waiting(), collector.messages) == (10, [])
    buffer.leads = True
    wait(lambda: buffer.waiting() == 0)
    buffer.leads = False
    time.sleep(1)
    buffer.add(10)
    buffer.shipper.stop(10)
    assert buffer.waiting() == 10, "the end of a member that does not lead is no time to ship"
    assert len(collector.messages) == 10


def test_a_collector_that_was_away_misses_nothing(buffer: Buffer, collector: Collector) -> None:
    collector.close()
    buffer.shipper.start()
    buffer.add(700)
    wait(lambda: bool(buffer.observer.of(AuditCollectorLost)))
    assert buffer.waiting() == 700
    collector.start()
    wait(lambda: buffer.waiting() == 0, seconds=40)
    assert {message.sequence for message in collector.messages} == set(range(1, 701))
    assert len(buffer.observer.of(AuditCollectorLost)) == len(buffer.observer.of(AuditCollectorReached)) == 1


@pytest.mark.parametrize("after", [1, 250, 499])
def test_a_connection_cut_in_the_middle_loses_nothing(buffer: Buffer, collector: Collector, after: int) -> None:
    collector.drop_after = after
    buffer.add(600)
    buffer.shipper.start()
    wait(lambda: buffer.waiting() == 0, seconds=40)
    assert {message.sequence for message in collector.messages} == set(range(1, 601))


def test_the_last_messages_go_out_before_the_node_ends(buffer: Buffer, collector: Collector) -> None:
    buffer.shipper.start()
    buffer.add(30)
    buffer.shipper.stop(10)
    assert buffer.waiting() == 0
    assert len(collector.messages) == 30


def test_what_waits_at_the_end_goes_out_at_the_next_start(
    tmp_path: Path, authority: Authority, collector: Collector
) -> None:
    collector.close()
    first = Buffer(tmp_path / "data", authority, port=collector.port)
    first.shipper.start()
    first.add(40)
    first.stop()
    collector.start()
    second = Buffer(tmp_path / "data", authority, port=collector.port)
    second.shipper.start()
    wait(lambda: second.waiting() == 0)
    second.stop()
    assert {message.sequence for message in collector.messages} == set(range(1, 41))


def test_a_full_buffer_drops_the_oldest_counts_them_and_says_so(
    tmp_path: Path, authority: Authority, collector: Collector
) -> None:
    collector.close()
    buffer = Buffer(tmp_path / "data", authority, port=collector.port, max_pending=1_000)
    buffer.add(3_000)
    with pytest.raises(CollectorError):
        buffer.shipper.ship()
    assert buffer.waiting() == 991
    assert [event.count for event in buffer.observer.of(AuditDropped)] == [2_010]
    collector.start()
    while buffer.shipper.ship():
        pass
    buffer.stop()
    assert [message.sequence for message in collector.messages] == list(range(2_011, 3_002))
    alert = parsed(collector.messages[-1].xml)
    assert code(alert) == "110113"
    assert alert.find("EventIdentification/EventTypeCode").get("csd-code") == "110133"
    assert alert.find("EventIdentification").get("EventOutcomeIndicator") == "12"


def test_a_collector_that_does_not_know_us_gets_nothing_and_nothing_is_lost(
    tmp_path: Path, authority: Authority
) -> None:
    stranger = Authority(tmp_path / "stranger", name="Somebody Else")
    strict = Collector(stranger).start()
    buffer = Buffer(tmp_path / "data", authority, port=strict.port)
    buffer.add(3)
    with pytest.raises(CollectorError, match="unknown_authority"):
        buffer.shipper.ship()
    assert buffer.waiting() == 3
    buffer.stop()
    strict.close()
    assert strict.messages == []


def test_the_collectors_verdict_on_our_certificate_comes_late_and_counts(tmp_path: Path, authority: Authority) -> None:
    """TLS 1.3: our handshake ends before the collector has looked at our certificate, and a write succeeds."""
    strict = Collector(authority).start()
    buffer = Buffer(tmp_path / "data", authority, port=strict.port)
    anonymous = buffer.settings.tls.model_copy(update={"certificate": None, "key": None})
    settings = buffer.settings.model_copy(update={"tls": anonymous})
    link = SyslogTls(settings, host="cad", observer=buffer.observer)
    link.send([])
    time.sleep(0.5)
    with pytest.raises(CollectorError, match=r"no_certificate|broken"):
        link.has_all()
    buffer.stop()
    strict.close()


@pytest.mark.peers
def test_rsyslog_takes_what_we_send(tmp_path: Path, authority: Authority, collector: Collector) -> None:
    """A collector that hospitals run, with its GnuTLS driver: it writes each message to a file."""
    port = collector.port
    collector.close()
    pair = authority.issue("rsyslog.example")
    log = tmp_path / "audit.log"
    configuration = tmp_path / "rsyslog.conf"
    configuration.write_text(RSYSLOG.format(ca=authority.certificate, pair=pair, port=port, log=log))
    daemon = subprocess.Popen(
        ["rsyslogd", "-n", "-f", str(configuration), "-i", str(tmp_path / "pid")], stderr=subprocess.PIPE
    )
    buffer = Buffer(tmp_path / "data", authority, port=port)
    try:
        buffer.add(200)
        buffer.shipper.start()
        wait(lambda: buffer.waiting() == 0 and log.exists() and log.read_text().count("\n") >= 200, seconds=40)
        lines = log.read_text().splitlines()
    finally:
        buffer.stop()
        daemon.terminate()
        _, problems = daemon.communicate(timeout=20)
    assert len(lines) == 200, problems
    assert {line.split(" ", 1)[0] for line in lines} == {"10.5"}
    for line in lines[::50]:
        parsed(line.split(" ", 1)[1].lstrip("\ufeff"))


RSYSLOG = """
global(workDirectory="/tmp" maxMessageSize="64k" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{pair.certificate}"
  defaultNetstreamDriverKeyFile="{pair.key}")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
template(name="audit" type="string" string="%syslogfacility%.%syslogseverity% %msg%\\n")
input(type="imtcp" port="{port}" address="127.0.0.1")
*.* action(type="omfile" file="{log}" template="audit")
"""
