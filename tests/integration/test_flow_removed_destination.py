# SPDX-License-Identifier: Apache-2.0
"""A destination that left config.yaml holds no job up, is shown, and gets what it missed when it comes back."""

from pathlib import Path

from fakes import ct_dataset, incoming
from node import SETTINGS, running
from service.storage.statistics import SqlStatistics


def test_what_a_removed_destination_missed_is_shown_and_sent_when_it_is_back(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        node.destination.down = True
        for number in (1, 2):
            node.receive(incoming(ct_dataset(1, number)))
        node.wait(lambda: bool(node.rows("select * from delivery where attempts >= 1")))
    with running(tmp_path, settings=SETTINGS.model_copy(update={"destinations": ()}), destinations={}) as node:
        node.wait(lambda: node.rows("select state from job") == [("finished",)], seconds=5)
        counts = SqlStatistics(node.database).counts()
        assert (counts.deliveries_pending, counts.deliveries_abandoned) == ({}, {"pacs": 1})
    with running(tmp_path) as node:
        node.wait(lambda: node.rows("select state from delivery") == [("delivered",)], seconds=10)
        assert node.rows("select state from job") == [("finished",)]
        assert len(node.destination.stored()) == 1
