# SPDX-License-Identifier: Apache-2.0
"""The rules of deploy/prometheus: they speak of metrics that exist, are tested, and say what to do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from harness.monitoring import PROMETHEUS, REPOSITORY, RULE_FILES, TEST_FILES, Alert, alerts, rules, unknown

OPERATIONS = REPOSITORY / "docs" / "operations.md"
ALERTS = alerts()
BURNS = {"Burning": ("page", ["14.4", "6"]), "Leaking": ("ticket", ["3", "1"])}


def run(*command: str | Path, cwd: Path = PROMETHEUS) -> None:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"PEERS MISSING: {command[0]}; run tests/install_peers.sh")
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_each_alert_fires_and_stays_silent_where_it_should(path: Path) -> None:
    run("promtool", "test", "rules", path, cwd=path.parent)


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    run("promtool", "check", "rules", "--lint-fatal", *RULE_FILES)
    run("promtool", "check", "config", "prometheus.yml")


def test_amtool_takes_the_configuration() -> None:
    run("amtool", "check-config", "alertmanager.yml")


def names_of_tests() -> list[str]:
    return [test["name"] for path in TEST_FILES for test in yaml.safe_load(path.read_text())["tests"]]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_has_a_firing_and_a_silent_test(alert: Alert) -> None:
    names = names_of_tests()
    assert [name for name in names if name.startswith(f"{alert.name} fires: ")]
    assert [name for name in names if name.startswith(f"{alert.name} is silent: ")]


def test_each_test_tests_what_its_name_says() -> None:
    for path in TEST_FILES:
        for test in yaml.safe_load(path.read_text())["tests"]:
            (probe,) = test["promql_expr_test"]
            name, manner = re.match(r"(\w+) (fires|is silent): ", test["name"]).groups()  # type: ignore[union-attr]
            assert f'alertname="{name}"' in probe["expr"], test["name"]
            assert bool(probe["exp_samples"]) is (manner == "fires"), test["name"]


def anchors() -> set[str]:
    """The sections of the page as GitHub and most renderers name them."""
    headings = re.findall(r"^#+ (.*)$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_says_what_it_means_and_where_to_read_on(alert: Alert) -> None:
    assert alert.severity in {"page", "ticket"}
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    path, _, anchor = alert.annotations["runbook_url"].partition("#")
    assert (path, anchor) == ("docs/operations.md", f"runbook-{alert.name.lower()}")
    assert anchor in anchors()


def test_the_runbook_has_no_section_without_an_alert() -> None:
    sections = {anchor.removeprefix("runbook-") for anchor in anchors() if anchor.startswith("runbook-")}
    assert sections == {alert.name.lower() for alert in ALERTS}


@pytest.mark.parametrize("rule", tuple(rules()), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_metrics_and_labels_that_exist(rule: dict[str, str]) -> None:
    assert unknown(rule["expr"]) == []


def test_tests_of_rules_feed_metrics_and_labels_that_exist() -> None:
    fed = {
        item["series"]
        for path in TEST_FILES
        for test in yaml.safe_load(path.read_text())["tests"]
        for item in test["input_series"]
    }
    assert {name: wrong for name in fed if (wrong := unknown(name))} == {}


@pytest.mark.parametrize(
    ("expr", "wrong"),
    [
        ("rate(dokuei_associations_total[5m])", []),
        ("rate(dokuei_assocations_total[5m])", ["dokuei_assocations_total"]),
        ('dokuei_pending{stage="close"} > 0', []),
        ('dokuei_pending{peer="ct"} > 0', ["dokuei_pending{peer}"]),
        ("dokuei_store_duration_seconds > 1", ["dokuei_store_duration_seconds"]),
    ],
)
def test_what_does_not_exist_is_found(expr: str, wrong: list[str]) -> None:
    assert unknown(expr) == wrong


@pytest.mark.parametrize("level", ["Turnaround", "Receive", "Delivery"])
@pytest.mark.parametrize("kind", BURNS)
def test_service_levels_burn_at_four_rates(level: str, kind: str) -> None:
    (alert,) = (alert for alert in ALERTS if alert.name == f"Dokuei{level}Budget{kind}")
    severity, factors = BURNS[kind]
    assert alert.severity == severity
    assert sorted(set(re.findall(r"> ([\d.]+) \* 0\.0", alert.expr))) == sorted(factors)
    assert alert.expr.count(">= ") == 4, "a guard of volume for each pair: how many, and how many bad"


def test_pages_are_woken_for_and_tickets_wait() -> None:
    configuration = yaml.safe_load((PROMETHEUS / "alertmanager.yml").read_text())
    (page,) = configuration["route"]["routes"]
    assert page["matchers"] == ["severity = page"]
    assert (page["receiver"], configuration["route"]["receiver"]) == ("on-call", "tickets")
