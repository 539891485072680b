# SPDX-License-Identifier: Apache-2.0
"""A whole node with an audit trail: its start, a stranger, and its end reach the collector."""

from pathlib import Path

import pytest
from lxml import etree

from harness.authority import Authority
from harness.collector import Collector
from harness.processes import free_port
from service.bootstrap.node import Node
from service.cli.doctor import _collector
from service.domain.errors import DestinationUnreachableError
from service.settings import DestinationSettings, Settings
from service.transport.store_scu import StoreScu


def settings(folder: Path, authority: Authority, *, port: int) -> Settings:
    pair = authority.issue("cad.example")
    files = {"trusted": authority.certificate, "certificate": pair.certificate, "key": pair.key}
    return Settings.model_validate(
        {
            "node": {"host": "127.0.0.1", "port": free_port()},
            "storage": {"folder": folder},
            "destinations": [{"name": "pacs", "ae_title": "P", "host": "127.0.0.1", "port": 1}],
            "site": {"allow_demonstration": True},
            "http": {"port": free_port()},
            "audit": {"host": "127.0.0.1", "port": port, "tls": files, "enterprise_site_id": "S", "timeout_seconds": 3},
        }
    )


def test_start_stranger_and_end_are_audited(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    collector = Collector(authority).start()
    chosen = settings(tmp_path / "data", authority, port=collector.port)
    assert chosen.node.port is not None
    with Node(chosen, lambda _: None):
        called = DestinationSettings(name="node", ae_title="DOKUEI", host="127.0.0.1", port=chosen.node.port)
        with pytest.raises(DestinationUnreachableError):
            StoreScu(called, ae_title="EVIL").echo()
    collector.close()
    events = [etree.fromstring(message.xml).find("EventIdentification") for message in collector.messages]
    types = [(event.find("EventID").get("csd-code"), event.find("EventTypeCode").get("csd-code")) for event in events]
    assert types == [("110100", "110120"), ("110113", "110126"), ("110100", "110121")]
    assert collector.errors == []


def test_doctor_tries_the_collector(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    collector = Collector(authority).start()
    chosen = settings(tmp_path / "data", authority, port=collector.port)
    (good,) = _collector(chosen)
    assert good.well, good.text
    collector.close()
    (bad,) = _collector(chosen)
    assert not bad.well
    assert "unreachable" in bad.text
