# SPDX-License-Identifier: Apache-2.0
"""`dokuei status` says how each destination stands."""

from service.cli.status import DESTINATION_COLUMNS, destination_rows
from service.ports.statistics import QueueCounts


def test_each_destination_has_a_row() -> None:
    counts = QueueCounts(
        pending={},
        oldest_received_at={},
        deliveries_pending={"pacs": 12},
        deliveries_refused={"second": 1},
        last_delivered_at={"second": 1.0},
        conflicts=0,
        failed_jobs=0,
        commitments_pending={"second": 3},
        circuits={"second": 0, "pacs": 2},
        oldest_delivery_at={"pacs": 1.0},
    )
    pacs, second = (dict(zip(DESTINATION_COLUMNS, row, strict=True)) for row in destination_rows(counts))
    assert (pacs["destination"], pacs["circuit"], pacs["to send"], pacs["to commit"]) == (
        "pacs",
        "open: not there",
        "12",
        "0",
    )
    assert (second["circuit"], second["to commit"], second["refused"], second["oldest"]) == ("closed", "3", "1", "")
    assert pacs["oldest"] == second["last stored"] != ""
