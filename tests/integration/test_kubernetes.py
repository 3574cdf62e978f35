"""deploy/kubernetes, each overlay as kubectl renders it: valid, sealed, and true to the settings and the commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from apps.cli.commands import load
from config.reading import load_settings
from config.settings import Settings
from tests.support.kubernetes import FOLDER, OVERLAYS, ROLES, Cluster, rendered, secrets
from workers.gauges import FAMILIES

ROOT = FOLDER.parents[1]
SCHEMAS = ROOT / "tests/support/schemas"
WITH_KEDA = ("keda", "keda-prometheus", "production")
#: The oldest and the newest version of Kubernetes that is held to.
VERSIONS = ("1.29", "1.37")
#: Seconds that a worker has between the end of its last call and its kill, to store the answer.
TO_STORE = 30
#: What a trigger of KEDA's takes, by its type; the resource definition lets any text pass.
TRIGGERS = {
    "metrics-api": {"url", "format", "valueLocation", "targetValue", "activationTargetValue"},
    "prometheus": {"serverAddress", "query", "threshold", "activationThreshold", "ignoreNullValues"},
}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    """The name of each overlay."""
    return str(request.param)


@pytest.fixture
def cluster(overlay: str) -> Cluster:
    """What it becomes."""
    return rendered(f"overlays/{overlay}")


def validate(each: dict[str, Any], version: str) -> None:
    """Holds an object to its kind's schema, closed to unknown fields."""
    if each["apiVersion"].startswith("keda.sh/"):
        keda = json.loads((SCHEMAS / "keda-scaledobject.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(keda).validate(each)
    else:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(cluster: Cluster, overlay: str, version: str) -> None:
    """Each fits its kind's schema, strictly; KEDA's kind fits its resource definition's; all are in one namespace."""
    for each in (*cluster.objects, *secrets().objects):
        validate(each, version)
        assert each["metadata"].get("namespace", "restyle") == "restyle"
    assert len(cluster.all("ScaledObject")) == (overlay in WITH_KEDA)
    assert len(cluster.all("Ingress")) == (overlay == "production")
    counts = {kind: len(cluster.all(kind)) for kind in ("Deployment", "Namespace", "PodDisruptionBudget", "Secret")}
    assert counts == {"Deployment": 3, "Namespace": 1, "PodDisruptionBudget": 1, "Secret": 0}


def test_the_schemas_refuse_a_typing_error() -> None:
    """Both validators are closed: a misspelled field is none."""
    cluster = rendered("overlays/keda")
    worker, scaled = cluster.the("Deployment", "restyle-worker"), cluster.the("ScaledObject", "restyle-worker")
    worker["spec"]["template"]["spec"]["terminationGracePeriod"] = 240
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(worker, VERSIONS[-1])
    scaled["spec"]["minReplicaCounts"] = 1
    with pytest.raises(jsonschema.ValidationError):
        validate(scaled, VERSIONS[-1])


def test_pods_are_sealed(cluster: Cluster) -> None:
    """No root, nothing to write but volumes of their own, no token of the cluster, memory that ends."""
    assert (
        cluster.the("Namespace", "restyle")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )
    for role in ROLES:
        pod, container = cluster.pod(role), cluster.container(role)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        writable = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}


def test_probes_are_of_the_health_endpoints(cluster: Cluster) -> None:
    """A process that runs is let live, one that cannot work gets no traffic; workers and beat tell by their setting."""
    for role in ROLES:
        container = cluster.container(role)
        (port,) = container["ports"]
        for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
            assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": port["name"]}
        if role == "dashboard":
            assert container["args"][-2:] == ["--port", str(port["containerPort"])]
        else:
            assert cluster.environment(role)["RESTYLE_HEALTH_ADDRESS"] == f"0.0.0.0:{port['containerPort']}"


def test_settings_and_commands_exist(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each role's variables and its restyle.toml are read without a complaint, and so are its arguments."""
    file = tmp_path / "restyle.toml"
    file.write_text(cluster.the("ConfigMap", "restyle-toml")["data"]["restyle.toml"])
    for role in ROLES:
        with monkeypatch.context() as patched:
            for name, value in cluster.environment(role).items():
                patched.setenv(name, value)
            patched.setenv("RESTYLE_CONFIG", str(file))
            patched.setenv("RESTYLE_REDIS_URL", "redis://redis.example.com/0")
            settings = load_settings()
        name, *arguments = cluster.container(role)["args"]
        load(name).make_context(name, arguments)
        assert "/etc/restyle" in {mount["mountPath"] for mount in cluster.container(role)["volumeMounts"]}
        assert cluster.environment(role)["RESTYLE_CONFIG"] == "/etc/restyle/restyle.toml"
    assert cluster.pod("worker")["terminationGracePeriodSeconds"] >= settings.api_timeout + TO_STORE


def test_a_worker_keeps_what_it_could_not_store_on_a_volume(cluster: Cluster) -> None:
    """A paid answer that neither S3 nor Redis takes outlives its container."""
    place = cluster.environment("worker")["RESTYLE_HOME"]
    (mount,) = (mount for mount in cluster.container("worker")["volumeMounts"] if mount["mountPath"] == place)
    assert not mount.get("readOnly")


def test_each_role_has_its_own_secrets_and_no_others(cluster: Cluster) -> None:
    """Only workers pay and notify, only the dashboard knows its tokens, and no pod has another's secret."""
    has = {}
    for role in ROLES:
        container = cluster.container(role)
        sources = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]
        assert sources == [f"restyle-{role}"]
        assert "secretKeyRef" not in json.dumps(container.get("env", []))
        example = secrets().the("Secret", f"restyle-{role}")["stringData"]
        assert set(example.values()) == {""}
        has[role] = set(example)
        known = {f"RESTYLE_{name.upper()}" for name in Settings.model_fields}
        assert {name for name in example if name.startswith("RESTYLE_")} <= known
    shared = {"RESTYLE_REDIS_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert has["beat"] == shared
    assert has["dashboard"] - shared == {"RESTYLE_DASHBOARD_TOKEN", "RESTYLE_DASHBOARD_VIEW_TOKEN"}
    assert has["worker"] - shared == {
        "RESTYLE_API_KEY", "RESTYLE_NOTIFY_SECRET", "RESTYLE_NOTIFY_SLACK", "RESTYLE_SMTP_PASSWORD",
    }  # fmt: skip


def test_nobody_reaches_a_pod_but_as_its_policy_says(cluster: Cluster, overlay: str) -> None:
    """Nothing is allowed by default; what is opened are a pod's own ports; no address of the own link is reached."""
    policies = {each["metadata"]["name"]: each["spec"] for each in cluster.all("NetworkPolicy")}
    assert policies["restyle-nobody"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert ("restyle-beat-keda" in policies) == (overlay in {"keda", "production"})
    for role in ROLES:
        labels = cluster.the("Deployment", f"restyle-{role}")["spec"]["template"]["metadata"]["labels"]
        ports = {port["containerPort"] for port in cluster.container(role)["ports"]}
        for name in {f"restyle-{role}", f"restyle-{role}-keda"} & policies.keys():
            assert policies[name]["podSelector"]["matchLabels"] == labels
            (rule,) = policies[name]["ingress"]
            assert all("namespaceSelector" in peer for peer in rule["from"])
            assert {port["port"] for port in rule["ports"]} == ports
    blocks = re.findall(r'"ipBlock": \{.*?\}', json.dumps(list(policies.values())))
    assert blocks
    assert all('"except": ["169.254.0.0/16"]' in block or '"except": ["fe80::/10"]' in block for block in blocks)


def test_services_lead_to_the_ports_of_their_pods(cluster: Cluster) -> None:
    """Each selects one role, and names a port that its container has; an Ingress names one of theirs."""
    for service in cluster.all("Service"):
        role = service["spec"]["selector"]["app.kubernetes.io/component"]
        names = {port["name"] for port in cluster.container(role)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    for ingress in cluster.all("Ingress"):
        (rule,) = ingress["spec"]["rules"]
        (path,) = rule["http"]["paths"]
        backend = path["backend"]["service"]
        ports = cluster.the("Service", backend["name"])["spec"]["ports"]
        assert backend["port"]["name"] in {port["name"] for port in ports}
        assert cluster.environment("dashboard")["RESTYLE_DASHBOARD_URL"] == f"https://{rule['host']}"


@pytest.mark.parametrize("name", WITH_KEDA)
def test_workers_are_scaled_by_pending_jobs_and_never_to_none_while_a_run_is_open(name: str) -> None:
    """The figures are ones that the beat gives, asked for by fields that KEDA knows; silence keeps workers."""
    cluster = rendered(f"overlays/{name}")
    scaled = cluster.the("ScaledObject", "restyle-worker")["spec"]
    assert "replicas" not in cluster.the("Deployment", "restyle-worker")["spec"], "each apply would set it anew"
    assert scaled["minReplicaCount"] == 0
    assert scaled["fallback"]["replicas"] >= 1
    (beat,) = cluster.the("Service", "restyle-beat")["spec"]["ports"]
    figures = []
    for trigger in scaled["triggers"]:
        metadata = trigger["metadata"]
        assert metadata.keys() <= TRIGGERS[trigger["type"]]
        if trigger["type"] == "metrics-api":
            assert metadata["url"] == f"http://restyle-beat.restyle.svc:{beat['port']}/metrics"
            figures.append(metadata["valueLocation"])
        else:
            assert metadata["ignoreNullValues"] == "false"
            figures += re.findall(r"^max\((\w+)\)$", metadata["query"])
    assert figures == ["restyle_pending_jobs", "restyle_open_runs"]
    assert set(figures) <= FAMILIES.keys()


def test_without_keda_the_number_of_workers_is_fixed() -> None:
    """A small fleet has the one worker that it says."""
    assert rendered("overlays/small").the("Deployment", "restyle-worker")["spec"]["replicas"] == 1


def test_a_changed_setting_starts_pods_anew(tmp_path: Path) -> None:
    """The name of the settings comes of what is in them."""
    small, production = (
        rendered(f"overlays/{name}").container("beat")["envFrom"][0] for name in ("small", "production")
    )
    assert small["configMapRef"]["name"] != production["configMapRef"]["name"]


def test_pages_name_overlays_that_are_there() -> None:
    """Each `kubectl apply -k` of a page is of a folder that renders."""
    pages = [FOLDER / "README.md", ROOT / "docs/guides/operating.md"]
    folders = {folder for page in pages for folder in re.findall(r"-k (\S+)`", page.read_text(encoding="utf-8"))}
    assert folders
    for folder in folders:
        assert (ROOT / folder / "kustomization.yaml").exists()
        assert rendered(str(Path(folder).relative_to("deploy/kubernetes"))).objects
    assert all(f"`{name}`" in pages[0].read_text(encoding="utf-8") for name in OVERLAYS)
