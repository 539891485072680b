# SPDX-License-Identifier: Apache-2.0
"""A real node under a real Prometheus with the rules and panels of deploy/; what /livez and /readyz say meanwhile."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.modality import SUCCESS, Modality, slice_dataset
from harness.monitoring import board_expressions
from harness.node import NodeProgram
from harness.proc import descendants
from harness.processes import free_port, wait_until
from harness.prometheus import Prometheus

pytestmark = pytest.mark.skipif(Prometheus.missing(), reason="PEERS MISSING: prometheus; run tests/install_peers.sh")
CHILD = b"worker_child"
OPEN_AND_STORED = 'dokuei_associations_active{peer="modality"} and on (instance) dokuei_instances_received_total == 1'


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProgram]:
    """A node whose PACS is down all the time; a study stays open longer than the test lasts."""
    changes = {"close": {"quiet_seconds": 600, "settle_seconds": 600}, "inference": {"workers": 1}}
    node = NodeProgram(tmp_path / "node", pacs=("PACS", free_port()), changes=changes)
    yield node
    node.stop()


@pytest.fixture
def prometheus(tmp_path: Path, node: NodeProgram) -> Iterator[Prometheus]:
    prometheus = Prometheus(tmp_path / "prometheus", node_port=node.http_port)
    prometheus.start()
    yield prometheus
    prometheus.stop()


def checks(node: NodeProgram) -> tuple[int, dict[str, str]]:
    status, text = node.http("/readyz")
    return status, json.loads(text)["checks"]


def children(node: NodeProgram) -> list[int]:
    return [pid for pid in descendants(node.pid) if CHILD in Path(f"/proc/{pid}/cmdline").read_bytes()]


def wait_ready(node: NodeProgram) -> None:
    wait_until(lambda: node.http("/readyz")[0] == 200, seconds=180, what="the node is not ready")


def store_one(modality: Modality, number: int) -> int:
    uid = f"1.2.3.{number}"
    return modality.store(uid, slice_dataset(uid, study_instance_uid="1.2.3"))


def test_prometheus_watches_a_node_from_cold_to_the_death_of_its_children(
    node: NodeProgram, prometheus: Prometheus
) -> None:
    node.start()
    status, found = checks(node)
    assert status == 503, "no child is warm yet"
    assert "loading its packages" in found["packages"]
    assert node.http("/livez")[0] == 200
    wait_ready(node)  # although nothing listens where the PACS should be
    with Modality(node.port) as modality:
        assert store_one(modality, 1) == SUCCESS
        wait_until(
            lambda: prometheus.value(OPEN_AND_STORED) == 1,
            seconds=30,
            what="Prometheus does not see the association",
        )
    check_scrapes(prometheus)
    check_rules(prometheus)
    check_exemplars(prometheus)
    check_panels(prometheus)
    check_ghosts(node, prometheus)


def check_scrapes(prometheus: Prometheus) -> None:
    assert prometheus.value('up{job="dokuei"}') == 1
    assert prometheus.value("dokuei_instances_received_total") == 1
    assert prometheus.value('dokuei_workers{role="active", state="warm"}') == 1
    assert prometheus.value('dokuei_associations_active{peer="pacs"}') == 0
    (settings,) = prometheus.query("dokuei_config_info == 1")
    assert len(settings["metric"]["sha256_8"]) == 8
    assert (prometheus.value('scrape_samples_scraped{job="dokuei"}') or 9e9) <= 2000


def check_rules(prometheus: Prometheus) -> None:
    groups = prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 70
    wait_until(
        lambda: all(rule["health"] == "ok" for group in prometheus.ask("rules")["groups"] for rule in group["rules"]),
        seconds=30,
        what=str([(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"]),
    )
    assert [alert for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"] == []


def check_exemplars(prometheus: Prometheus) -> None:
    now = time.time()
    found = prometheus.ask(
        "query_exemplars", query="dokuei_store_duration_seconds_bucket", start=f"{now - 600}", end=f"{now + 60}"
    )
    ((exemplar,),) = [item["exemplars"] for item in found]
    assert list(exemplar["labels"]) == ["study_key"]
    assert len(exemplar["labels"]["study_key"]) == 12


def check_panels(prometheus: Prometheus) -> None:
    with_data = [expr for expr in board_expressions() if prometheus.query(expr)]
    assert len(with_data) > 20, with_data


def check_ghosts(node: NodeProgram, prometheus: Prometheus) -> None:
    """Kill the child: not ready, then ready again, and Prometheus has no series more than before."""
    before = series_of(prometheus)
    (child,) = children(node)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: checks(node)[0] == 503, seconds=10, what="the node is ready without a child")
    assert node.http("/livez")[0] == 200
    wait_ready(node)
    wait_until(
        lambda: prometheus.value('dokuei_worker_restarts_total{reason="crashed"}') == 1, seconds=30, what="not counted"
    )
    assert series_of(prometheus) == before


def series_of(prometheus: Prometheus) -> set[str]:
    found = prometheus.query('{job="dokuei", __name__=~"dokuei_.*"}')
    return {json.dumps(item["metric"], sort_keys=True) for item in found}


def test_a_full_disk_makes_a_node_unready_and_not_dead(node: NodeProgram) -> None:
    node.change({"storage": {"reserve_bytes": 10**18}})
    node.start()
    status, found = checks(node)
    assert status == 503
    assert "below storage.reserve_bytes" in found["disk"]
    assert node.http("/livez")[0] == 200


def test_a_node_that_drains_is_unready_not_dead_and_finishes_what_it_takes_in(node: NodeProgram) -> None:
    node.start()
    uid = "1.2.3.1"
    with Modality(node.port) as modality:
        sent = modality.request(uid, slice_dataset(uid, study_instance_uid="1.2.3", size_bytes=100_000))
        modality.socket.sendall(sent[:50_000])
        incoming = node.folder / "data" / "incoming"
        wait_until(lambda: any(incoming.iterdir()), seconds=20, what="the node does not begin to take it in")
        node.send_signal(signal.SIGTERM)
        wait_until(lambda: checks(node)[1]["draining"] != "ok", seconds=20, what="it does not drain")
        assert checks(node)[0] == 503
        assert node.http("/livez")[0] == 200
        modality.socket.sendall(sent[50_000:])
        assert modality.status() == SUCCESS
    assert node.wait_for_end(seconds=60) == 0
