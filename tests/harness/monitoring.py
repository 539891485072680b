# SPDX-License-Identifier: Apache-2.0
"""What alerts and dashboards may speak of, and what they do speak of."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
BOARD = REPOSITORY / "deploy" / "grafana" / "dokuei.json"
RULE_FILES = tuple(sorted((PROMETHEUS / "rules").glob("*.yml")))
TEST_FILES = tuple(sorted((PROMETHEUS / "tests").glob("*.yml")))
GOLDEN = REPOSITORY / "tests" / "unit" / "observability" / "metric_names.txt"
OF_HISTOGRAMS = ("_bucket", "_sum", "_count")
OF_PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity", "instance"}}
EVERYWHERE = {"job", "instance", "le"}

SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}|((?:dokuei|instance:|destination:)[\w:]+|\bup\b)")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


@dataclass(frozen=True)
class Alert:
    """An alerting rule."""

    name: str
    expr: str
    severity: str
    annotations: dict[str, str]


def rules() -> Iterator[dict[str, Any]]:
    """Every rule of every file."""
    for path in RULE_FILES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> tuple[Alert, ...]:
    """Every alert."""
    return tuple(
        Alert(rule["alert"], rule["expr"], rule["labels"]["severity"], rule["annotations"])
        for rule in rules()
        if "alert" in rule
    )


@cache
def series() -> dict[str, set[str]]:
    """Names that may be asked for, and their labels: of the node, of Prometheus, and those that rules record."""
    known = dict(OF_PROMETHEUS)
    for line in GOLDEN.read_text().splitlines():
        kind, name, labels = re.fullmatch(r"(\w+) (\w+)\{(.*)\}", line).groups()  # type: ignore[union-attr]
        names = [f"{name}{end}" for end in OF_HISTOGRAMS] if kind == "histogram" else [name]
        known |= dict.fromkeys(names, set(labels.split(",")) - {""})
    return known | {rule["record"]: {"destination"} for rule in rules() if "record" in rule}


def unknown(expr: str) -> list[str]:
    """Names, and labels in braces, of an expression that do not exist."""
    known = series()
    wrong = []
    for name, matchers, bare in SELECTOR.findall(expr):
        metric = name or bare
        if metric not in known:
            wrong.append(metric)
            continue
        labels = set(MATCHER.findall(matchers))
        wrong += [f"{metric}{{{label}}}" for label in sorted(labels - known[metric] - EVERYWHERE)]
    return wrong


def board_expressions() -> list[str]:
    """What the panels of the dashboard ask, as Grafana sends it for all nodes."""
    panels = json.loads(BOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [expr.replace("$instance", ".*").replace("$__rate_interval", "2m") for expr in asked]
