# SPDX-License-Identifier: Apache-2.0
"""The composition root refuses what cannot work, and gives back everything that it took."""

from pathlib import Path

import pytest

from harness.processes import free_port, listens
from service.bootstrap.node import Node
from service.domain.errors import ConfigurationError
from service.domain.event import Event, NodeStarted
from service.settings import Settings


def settings(folder: Path, **changes: object) -> Settings:
    sections = {
        "node": {"host": "127.0.0.1", "port": free_port()},
        "storage": {"folder": folder},
        "destinations": [{"name": "pacs", "ae_title": "P", "host": "127.0.0.1", "port": 1}],
        "site": {"allow_demonstration": True},
        "http": {"port": free_port()},
    }
    return Settings.model_validate({**sections, **changes})


def test_a_node_starts_and_leaves_nothing_behind_when_it_stops(tmp_path: Path) -> None:
    events: list[Event] = []
    chosen = settings(tmp_path / "data")
    with Node(chosen, events.append) as node:
        assert listens(chosen.node.port)
        assert listens(chosen.http.port)
        node.wait_warm(120)
    assert not listens(chosen.node.port)
    assert not listens(chosen.http.port)
    assert any(isinstance(event, NodeStarted) for event in events)
    with Node(chosen, events.append):
        pass  # the lock was given back


def test_two_nodes_do_not_share_a_data_folder(tmp_path: Path) -> None:
    with Node(settings(tmp_path), lambda _: None), pytest.raises(ConfigurationError, match="in use by another"):
        Node(settings(tmp_path), lambda _: None).__enter__()


def test_a_port_that_is_taken_stops_the_start_and_frees_the_folder(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "one")
    other = settings(tmp_path / "two", node={"host": "127.0.0.1", "port": chosen.node.port})
    with Node(chosen, lambda _: None), pytest.raises(ConfigurationError, match=str(chosen.node.port)):
        Node(other, lambda _: None).__enter__()
    with Node(settings(tmp_path / "two"), lambda _: None):
        pass


def test_demonstrations_need_the_sites_word(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="allow_demonstration"):
        Node(settings(tmp_path, site={}), lambda _: None)


def test_results_need_somewhere_to_go(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="add the PACS"):
        Node(settings(tmp_path, destinations=[]), lambda _: None)
