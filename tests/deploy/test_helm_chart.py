# SPDX-License-Identifier: Apache-2.0
"""The Helm chart, rendered by Helm itself: valid for Kubernetes, the node's configuration in it, and locked down."""

from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from service.bootstrap.node import AUDIT_END_SECONDS, DRAIN_SECONDS
from service.settings import Settings, parse_settings

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "dokuei"
SETS = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
VERSIONS = ("1.28", "1.32", "1.37")
CUSTOM = {"ServiceMonitor"}
"""Kinds that an operator brings; Kubernetes has no schema for them."""

Object = dict[str, Any]


def values(name: str) -> Object:
    loaded: Object = yaml.safe_load((CHART / "ci" / name).read_text())
    return loaded


@cache
def rendered(name: str) -> dict[str, Object]:
    """The objects of a set of values, by "Kind name"."""
    files = helm.Chart.load(str(CHART)).render(values(name), name="cad", namespace="imaging")
    objects = [item for path, text in files.items() if path.endswith(".yaml") for item in yaml.safe_load_all(text)]
    return {f"{item['kind']} {item['metadata']['name']}": item for item in objects if item}


def pod(name: str) -> Object:
    spec: Object = rendered(name)["StatefulSet cad"]["spec"]["template"]["spec"]
    return spec


def node(name: str) -> Object:
    (container,) = pod(name)["containers"]
    found: Object = container
    return found


def settings(name: str) -> Settings:
    return parse_settings(rendered(name)["ConfigMap cad"]["data"]["config.yaml"], source=name)


def test_there_are_six_sets_of_values() -> None:
    assert len(SETS) == 6


@pytest.mark.parametrize("name", SETS)
def test_helm_finds_nothing_wrong(name: str) -> None:
    found = helm.lint(str(CHART), values(name), strict=True)
    assert not found["errors"]
    assert [item["error"] for item in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SETS)
def test_every_object_holds_to_the_schema_of_kubernetes(name: str, version: str) -> None:
    for item in rendered(name).values():
        if item["kind"] not in CUSTOM:
            kubernetes_validate.validate(item, version, strict=True)


def test_the_schema_of_kubernetes_would_find_a_slip() -> None:
    slipped = rendered("minimal-values.yaml")["StatefulSet cad"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**slipped, "spec": {**slipped["spec"], "replicaz": 2}}, VERSIONS[0], strict=True)


@pytest.mark.parametrize("name", SETS)
def test_the_node_takes_the_configuration_that_comes_out(name: str) -> None:
    found = settings(name)
    assert found.storage.folder == Path("/var/lib/dokuei")
    assert (found.http.host, found.node.host) == ("0.0.0.0", "0.0.0.0")  # noqa: S104 - what the pod's network needs
    ports = {entry["name"]: entry["containerPort"] for entry in node(name)["ports"]}
    assert ports["http"] == found.http.port
    assert ports.get("dicom") == found.node.port


def test_tls_gets_its_ports_and_its_files() -> None:
    name = "tls-values.yaml"
    found = settings(name)
    assert found.node.tls is not None
    assert found.dicomweb is not None
    assert found.node.port is None
    assert (found.node.tls.port, found.dicomweb.listens_on) == (2762, 8443)
    mounts = {mount["mountPath"]: mount for mount in node(name)["volumeMounts"]}
    assert mounts[str(found.node.tls.key.parent)]["readOnly"]


def test_secrets_are_files_and_never_the_environment() -> None:
    for name in SETS:
        assert "env" not in node(name)
        assert "envFrom" not in node(name)
        secret = [volume["secret"] for volume in pod(name)["volumes"] if "secret" in volume]
        assert all(entry["defaultMode"] == 0o440 for entry in secret)
    found = settings("postgresql-values.yaml").storage
    assert str(found.database_password_file) == "/run/secrets/dokuei/database/password"


@pytest.mark.parametrize("name", SETS)
def test_the_pod_may_do_nothing_that_it_need_not(name: str) -> None:
    inside, around = node(name)["securityContext"], pod(name)["securityContext"]
    assert inside == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert around["runAsNonRoot"]
    assert {around["runAsUser"], around["runAsGroup"], around["fsGroup"]} == {65532}
    assert around["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(name)["automountServiceAccountToken"] is False
    writable = {mount["mountPath"] for mount in node(name)["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/lib/dokuei", "/tmp"}  # noqa: S108 - the pod's own


@pytest.mark.parametrize("name", SETS)
def test_probes_ask_what_the_node_answers(name: str) -> None:
    probes = {kind: node(name)[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    assert {probe["port"] for probe in probes.values()} == {"http"}


@pytest.mark.parametrize("name", SETS)
def test_memory_is_asked_for_and_limited_and_a_drain_may_end(name: str) -> None:
    resources = node(name)["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]
    assert pod(name)["terminationGracePeriodSeconds"] > 3 * DRAIN_SECONDS + AUDIT_END_SECONDS
    assert rendered(name)["StatefulSet cad"]["spec"]["replicas"] == 1


def test_a_gpu_is_a_limit() -> None:
    assert node("gpu-values.yaml")["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_only_node_is_not_evicted() -> None:
    budget = rendered("minimal-values.yaml")["PodDisruptionBudget cad"]["spec"]
    assert budget["maxUnavailable"] == 0
    labels = rendered("minimal-values.yaml")["StatefulSet cad"]["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()


def test_the_network_policy_lets_in_and_out_whom_it_names() -> None:
    policy = rendered("site-values.yaml")["NetworkPolicy cad"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    dicom, metrics = policy["ingress"]
    assert [entry["ipBlock"]["cidr"] for entry in dicom["from"]] == ["10.1.0.0/16", "2001:db8::/48"]
    assert [entry["port"] for entry in dicom["ports"]] == [11112]
    assert [entry["port"] for entry in metrics["ports"]] == [9180]
    (pacs,) = policy["egress"]
    assert pacs["to"] == [{"ipBlock": {"cidr": "10.0.0.5/32"}}]
    assert [entry["port"] for entry in pacs["ports"]] == [104, 514]


def test_without_a_name_nobody_comes_in_and_only_name_servers_are_reached() -> None:
    policy = rendered("gpu-values.yaml")["NetworkPolicy cad"]["spec"]
    assert [entry["ports"][0]["port"] for entry in policy["ingress"]] == [9180]
    (dns,) = policy["egress"]
    assert {entry["port"] for entry in dns["ports"]} == {53}


@pytest.mark.parametrize(
    "wrong",
    [
        {"replicas": 3},
        {"image": {"repository": "x", "tag": "latest"}},
        {"ports": {"dicom": 104, "http": 9180}},
        {"database": {"url": "postgresql://dokuei:secret@host/dokuei"}},
        {"config": {"storage": {"folder": "/data"}}},
        {"terminationGracePeriodSeconds": 30},
        {"networkPolicy": {"egress": [{"cidr": "10.0.0.5", "ports": [104]}]}},
    ],
)
def test_wrong_values_are_refused(wrong: Object) -> None:
    with pytest.raises(helm.HelmError):
        helm.Chart.load(str(CHART)).render(wrong)


def test_tls_without_its_files_is_refused() -> None:
    with pytest.raises(helm.HelmError, match=r"config\.node\.tls"):
        helm.Chart.load(str(CHART)).render({"ports": {"dicom": 0, "dicomTls": 2762, "http": 9180}})
