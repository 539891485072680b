# SPDX-License-Identifier: Apache-2.0
"""`dokuei doctor` looks at both ends of fetching older studies."""

from pathlib import Path
from typing import Any

import pytest

from harness.archive import QueryArchive
from harness.dcmtk import StoreScpProgram
from service.cli.doctor_priors import look_at_priors
from service.settings import Settings

pytestmark = pytest.mark.peers


def settings(port: int, ae_title: str, *, peers: list[dict[str, Any]] | None = None) -> Settings:
    destination = {"name": "pacs", "ae_title": ae_title, "host": "127.0.0.1", "port": port, "timeout_seconds": 5}
    peer = {"name": "archive", "ae_title": ae_title, "address": "127.0.0.1"}
    return Settings.model_validate(
        {
            "peers": [peer] if peers is None else peers,
            "destinations": [destination],
            "priors": {"source": "pacs"},
        }
    )


def test_an_archive_that_can_do_it_is_well(tmp_path: Path) -> None:
    archive = QueryArchive(tmp_path, sends_to={})
    archive.start()
    offer, way_in = look_at_priors(settings(archive.port, "QRSCP"))
    archive.stop()
    assert offer.well, offer.text
    assert "DOKUEI as a place to send to" in offer.text
    assert (way_in.well, way_in.text) == (True, "what it sends comes in as peer 'archive'")


def test_what_is_missing_is_named_with_the_remedy(storescp: StoreScpProgram) -> None:
    offer, way_in = look_at_priors(settings(storescp.port, "STORESCP", peers=[]))
    assert not offer.well
    assert offer.text == "it does not offer Study Root C-FIND and C-MOVE"
    assert offer.advice == "let DOKUEI query and retrieve there"
    assert not way_in.well
    assert "add a peer with ae_title STORESCP that may store" in way_in.advice


def test_an_archive_that_is_down_is_named() -> None:
    offer, _ = look_at_priors(settings(1, "PACS"))
    assert not offer.well
    assert "took no TCP connection" in offer.text


def test_nothing_is_looked_at_where_nothing_is_fetched() -> None:
    assert list(look_at_priors(Settings())) == []
