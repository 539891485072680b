# SPDX-License-Identifier: Apache-2.0
"""Writes dokuei.json, the Grafana dashboard, from panels.py: `python -m deploy.grafana.board` (extra `test`).

It lies beside what it makes, because whoever changes a panel works here; the node never runs it.
"""

import json
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.heatmap import Panel as HeatmapPanel
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableHide,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.panels import BOARD_ROWS, Shown

BOARD = Path(__file__).with_name("dokuei.json")
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8


def board() -> Dashboard:
    """Return the dashboard."""
    built = (
        Dashboard("Dokuei")
        .uid("dokuei")
        .tags(["dokuei", "dicom"])
        .refresh("1m")
        .time("now-24h", "now")
        .timezone("browser")
        .readonly()
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            QueryVariable("instance")
            .label("Node")
            .datasource(SOURCE)
            .query("label_values(dokuei_build_info, instance)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .hide(VariableHide.DONT_HIDE)
            .include_all(True)
            .all_value(".*")
            .current(VariableOption(text="All", value="$__all"))
        )
    )
    number = count(1)
    for title, panels in BOARD_ROWS.items():
        built = built.with_row(Row(title).id(next(number)))
        for shown in panels:
            built = built.with_panel(panel(shown).id(next(number)))
    return built


def panel(shown: Shown) -> TimeseriesPanel | HeatmapPanel | StatPanel:
    """Return the builder of one panel."""
    kind: TimeseriesPanel | HeatmapPanel | StatPanel
    if shown.kind == "heatmap":
        kind = HeatmapPanel().calculate(False)
    elif shown.kind == "stat":
        kind = StatPanel().reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        legend = VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM)
        kind = TimeseriesPanel().legend(legend.display_mode(LegendDisplayMode.LIST)).axis_soft_min(0).fill_opacity(8)
    kind = kind.title(shown.title).description(shown.what).datasource(SOURCE).unit(shown.unit)
    kind = kind.height(HEIGHT).span(shown.width)
    for query in queries(shown):
        kind = kind.with_target(query)
    return kind


def queries(shown: Shown) -> Iterable[Dataquery]:
    """Yield what a panel asks Prometheus; histograms bring the study keys of their buckets, where these are kept."""
    for letter, (expr, legend) in zip("ABCDEF", shown.queries, strict=False):
        query = Dataquery().ref_id(letter).expr(expr).legend_format(legend).exemplar("histogram_quantile" in expr)
        yield query.format(PromQueryFormat.HEATMAP) if shown.kind == "heatmap" else query


def text() -> str:
    """Return the dashboard as it is committed."""
    return json.dumps(board().build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    BOARD.write_text(text(), encoding="utf-8")
