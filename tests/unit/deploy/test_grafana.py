# SPDX-License-Identifier: Apache-2.0
"""The dashboard: it is what its program writes, asks Prometheus what it understands, and names metrics that exist."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.board import text
from harness.monitoring import BOARD, REPOSITORY, board_expressions, unknown
from harness.prometheus import Prometheus

GRAFANA = REPOSITORY / "deploy" / "grafana"
DOCUMENT = json.loads(BOARD.read_text())
ROWS = ["Intake", "Queue", "Turnaround", "Models", "Delivery", "Resources", "Security"]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DOCUMENT["panels"] if panel["type"] != "row"]


def test_the_committed_board_is_the_generated_one() -> None:
    assert BOARD.read_text() == text(), "python -m deploy.grafana.board"


def test_rows_and_panels_are_whole() -> None:
    assert [panel["title"] for panel in DOCUMENT["panels"] if panel["type"] == "row"] == ROWS
    numbers = [panel["id"] for panel in DOCUMENT["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert all(panel["title"] and panel["targets"] for panel in panels())
    places = [(panel["gridPos"]["x"] + panel["gridPos"]["w"]) for panel in DOCUMENT["panels"]]
    assert max(places) <= 24


def test_panels_name_metrics_and_labels_that_exist() -> None:
    assert {expr: wrong for expr in board_expressions() if (wrong := unknown(expr))} == {}


def test_each_panel_can_be_had_of_one_node_alone() -> None:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    assert [expr for expr in asked if '{instance=~"$instance"' not in expr] == [
        'count by (alertname) (ALERTS{alertname=~"Dokuei.+", alertstate="firing"})'
    ]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if Prometheus.missing():
        pytest.skip("PEERS MISSING: prometheus; run tests/install_peers.sh")
    server = Prometheus(tmp_path_factory.mktemp("prometheus"))
    server.start()
    yield server
    server.stop()


def test_prometheus_understands_every_panel(prometheus: Prometheus) -> None:
    for expr in board_expressions():
        prometheus.query(expr)


@pytest.mark.parametrize("path", sorted((GRAFANA / "provisioning").rglob("*.yml")), ids=lambda path: path.parent.name)
def test_provisioning_files_are_read(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["apiVersion"] == 1
