# SPDX-License-Identifier: Apache-2.0
"""The trial with compose: valid by the Compose Specification, its files exist, and they fit together."""

import json
import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from service.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
FOLDER = DEPLOY / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def mounted(service: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Files and folders of the checkout that a service sees, and where."""
    for volume in service["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            yield (FOLDER / source).resolve(), target


def check(document: dict[str, Any]) -> None:
    """Hold a document against the Compose Specification; merge keys are resolved before."""
    PyCompose.from_yaml(yaml.safe_dump(document))


def test_it_holds_to_the_compose_specification() -> None:
    check(COMPOSE)


def test_the_specification_would_find_a_slip() -> None:
    slipped = {**COMPOSE, "services": {**SERVICES, "node": {**SERVICES["node"], "read_onli": True}}}
    with pytest.raises(ValueError, match="read_onli"):
        check(slipped)


@pytest.mark.parametrize("name", SERVICES)
def test_every_file_that_is_mounted_exists(name: str) -> None:
    assert not [source for source, _ in mounted(SERVICES[name]) if not source.exists()]


def test_the_image_is_built_from_files_that_exist() -> None:
    build = SERVICES["node"]["build"]
    context = (FOLDER / build["context"]).resolve()
    assert (context / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_locked_down_and_on_loopback_alone(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert all(source.endswith(":ro") for source in service["volumes"] if source.startswith("."))


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_a_version(name: str) -> None:
    assert re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"])


def test_orthanc_is_not_one_with_known_defects() -> None:
    version = SERVICES["orthanc"]["image"].rpartition(":")[2]
    assert tuple(map(int, version.split("."))) >= (1, 12, 11)


def test_the_node_takes_its_configuration_and_finds_orthanc_and_orthanc_finds_it() -> None:
    settings = load_settings(FOLDER / "config.yaml")
    orthanc = json.loads((FOLDER / "orthanc.json").read_text())
    (peer,), (destination,) = settings.peers, settings.destinations
    network = ip_network(COMPOSE["networks"]["trial"]["ipam"]["config"][0]["subnet"])
    assert peer.address == (network,)
    assert (destination.host, destination.port) == ("orthanc", orthanc["DicomPort"])
    assert peer.ae_title == destination.ae_title == orthanc["DicomAet"]
    assert orthanc["DicomModalities"]["dokuei"] == [settings.node.ae_title, "node", settings.node.port]
    assert f"127.0.0.1:{settings.http.port}:{settings.http.port}" in SERVICES["node"]["ports"]


def test_prometheus_asks_as_in_the_example_for_sites() -> None:
    """The rules name the job; only the target and the Alertmanager differ."""
    ours, example = loaded("compose/prometheus.yml"), loaded("prometheus/prometheus.yml")
    ours["scrape_configs"][0]["static_configs"] = example["scrape_configs"][0]["static_configs"]
    assert {**ours, "alerting": example["alerting"]} == example
    assert dict(mounted(SERVICES["prometheus"]))[DEPLOY / "prometheus" / "rules"] == "/etc/prometheus/rules"
    assert example["rule_files"] == ["rules/*.yml"]


def test_grafana_finds_prometheus_and_its_dashboard() -> None:
    ours, example = loaded("compose/datasource.yml"), loaded("grafana/provisioning/datasources/prometheus.yml")
    (source,) = ours["datasources"]
    assert {**source, "url": example["datasources"][0]["url"]} == example["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = loaded("grafana/provisioning/dashboards/dokuei.yml")["providers"]
    dashboard = dict(mounted(SERVICES["grafana"]))[DEPLOY / "grafana" / "dokuei.json"]
    assert str(Path(dashboard).parent) == provider["options"]["path"]


def loaded(name: str) -> dict[str, Any]:
    """A YAML file below deploy/."""
    document: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return document
