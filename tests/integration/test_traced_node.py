# SPDX-License-Identifier: Apache-2.0
"""A node that is asked for traces sends a study's whole way as one."""

from pathlib import Path

from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.processes import wait_until
from harness.shipped import shipped
from harness.span_collector import span_collector


def test_a_study_is_one_trace_from_its_image_to_its_result(tmp_path: Path) -> None:
    with span_collector() as (endpoint, got):
        node = NodeProgram(tmp_path / "node", pacs=("PACS", 1), changes={"traces": {"endpoint": endpoint}})
        node.start()
        film = shipped("pneumoconiosis-demo") / "golden" / "dust" / "film.dcm"
        assert dcmsend(node.called, [film]).returncode == 0
        wait_until(lambda: bool(node.events("result_ready")), seconds=120, what="no result")
        node.stop()
    spans = [span for request in got for part in request.resource_spans for s in part.scope_spans for span in s.spans]
    assert {"receive", "close", "route", "analyse", "encode", "study"} <= {span.name for span in spans}
    assert len({span.trace_id for span in spans}) == 1
    (whole,) = [span for span in spans if span.name == "study"]
    assert whole.end_time_unix_nano > whole.start_time_unix_nano
