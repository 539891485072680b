# SPDX-License-Identifier: Apache-2.0
"""The Helm chart, rendered by Helm itself: valid for Kubernetes, the node's configuration in it, and locked down."""

import re
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
MEMBERS = ("members-fixed-values.yaml", "members-values.yaml")
ROLES = ("receiver", "worker", "sender")
PODS = [(name, f"cad-{role}") for name in MEMBERS for role in ROLES]
PODS += [(name, "cad") for name in SETS if name not in MEMBERS]
VERSIONS = ("1.28", "1.32", "1.37")
CUSTOM = {"ServiceMonitor", "ScaledObject"}
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


def pod(name: str, pods: str = "cad") -> Object:
    spec: Object = rendered(name)[f"StatefulSet {pods}"]["spec"]["template"]["spec"]
    return spec


def node(name: str, pods: str = "cad") -> Object:
    (container,) = pod(name, pods)["containers"]
    found: Object = container
    return found


def settings(name: str) -> Settings:
    return parse_settings(rendered(name)["ConfigMap cad"]["data"]["config.yaml"], source=name)


def test_there_are_eight_sets_of_values() -> None:
    assert len(SETS) == 8


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
    receiver = "cad-receiver" if name in MEMBERS else "cad"
    ports = {entry["name"]: entry["containerPort"] for entry in node(name, receiver)["ports"]}
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
    for name, pods in PODS:
        assert "env" not in node(name, pods)
        assert "envFrom" not in node(name, pods)
        secret = [volume["secret"] for volume in pod(name, pods)["volumes"] if "secret" in volume]
        assert all(entry["defaultMode"] == 0o440 for entry in secret)
    found = settings("postgresql-values.yaml").storage
    assert str(found.database_password_file) == "/run/secrets/dokuei/database/password"


@pytest.mark.parametrize(("name", "pods"), PODS)
def test_the_pod_may_do_nothing_that_it_need_not(name: str, pods: str) -> None:
    inside, around = node(name, pods)["securityContext"], pod(name, pods)["securityContext"]
    assert inside == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert around["runAsNonRoot"]
    assert {around["runAsUser"], around["runAsGroup"], around["fsGroup"]} == {65532}
    assert around["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(name, pods)["automountServiceAccountToken"] is False
    writable = {mount["mountPath"] for mount in node(name, pods)["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/lib/dokuei", "/tmp"}  # noqa: S108 - the pod's own


@pytest.mark.parametrize(("name", "pods"), PODS)
def test_probes_ask_what_the_node_answers(name: str, pods: str) -> None:
    probes = {kind: node(name, pods)[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    assert {probe["port"] for probe in probes.values()} == {"http"}


@pytest.mark.parametrize(("name", "pods"), PODS)
def test_memory_is_asked_for_and_limited_and_a_drain_may_end(name: str, pods: str) -> None:
    resources = node(name, pods)["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]
    assert pod(name, pods)["terminationGracePeriodSeconds"] > 3 * DRAIN_SECONDS + AUDIT_END_SECONDS


@pytest.mark.parametrize("name", [name for name in SETS if name not in MEMBERS])
def test_there_is_one_of_a_node_that_is_alone(name: str) -> None:
    assert rendered(name)["StatefulSet cad"]["spec"]["replicas"] == 1


def test_members_have_their_roles_one_volume_and_stable_names() -> None:
    name = "members-values.yaml"
    for role in ROLES:
        spec = rendered(name)[f"StatefulSet cad-{role}"]["spec"]
        assert node(name, f"cad-{role}")["args"] == ["run", "/etc/dokuei/config.yaml", "--role", role]
        assert spec["selector"]["matchLabels"]["app.kubernetes.io/component"] == role
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
        data = {volume["name"]: volume for volume in pod(name, f"cad-{role}")["volumes"]}["data"]
        assert data["persistentVolumeClaim"]["claimName"] == "cad-data"
        budget = rendered(name)[f"PodDisruptionBudget cad-{role}"]["spec"]
        assert (budget["maxUnavailable"], budget["selector"]) == (1, spec["selector"])
    claim = rendered(name)["PersistentVolumeClaim cad-data"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    fixed = rendered("members-fixed-values.yaml")
    assert not [key for key in fixed if key.startswith("PersistentVolumeClaim")]
    assert {role: fixed[f"StatefulSet cad-{role}"]["spec"]["replicas"] for role in ROLES} == {
        "receiver": 3,
        "worker": 2,
        "sender": 1,
    }


def test_only_receivers_are_called_and_only_workers_have_a_gpu() -> None:
    name = "members-values.yaml"
    assert rendered(name)["Service cad"]["spec"]["selector"]["app.kubernetes.io/component"] == "receiver"
    assert "app.kubernetes.io/component" not in rendered(name)["Service cad-metrics"]["spec"]["selector"]
    listening = {role: [port["name"] for port in node(name, f"cad-{role}")["ports"]] for role in ROLES}
    assert listening == {"receiver": ["dicom", "http"], "worker": ["http"], "sender": ["http"]}
    limits = {role: node(name, f"cad-{role}")["resources"]["limits"] for role in ROLES}
    assert {role for role in ROLES if "nvidia.com/gpu" in limits[role]} == {"worker"}


def test_workers_scale_with_what_waits_and_never_to_none() -> None:
    name = "members-values.yaml"
    scaled = rendered(name)["ScaledObject cad-worker"]
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    spec = scaled["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "cad-worker"}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 6)
    assert spec["fallback"] == {"failureThreshold": 4, "replicas": 2}
    (trigger,) = spec["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue"), "a fallback needs an average"
    assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes strings alone"
    metric = re.search(r"dokuei_\w+", trigger["metadata"]["query"])
    assert metric is not None
    known = (CHART.parents[2] / "tests/unit/observability/metric_names.txt").read_text()
    assert f"gauge {metric[0]}{{" in known
    assert "replicas" not in rendered(name)["StatefulSet cad-worker"]["spec"], "it would undo what KEDA does"


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
        {"members": {"enabled": True}, "storage": {"size": "1Ti", "storageClassName": "cephfs"}},
        {"members": {"enabled": True}, "database": {"url": "postgresql://dokuei@host/dokuei"}},
        {"members": {"enabled": True, "worker": {"replicas": 0}}},
        {"members": {"enabled": True, "keda": {"enabled": True, "min": 0}}},
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
