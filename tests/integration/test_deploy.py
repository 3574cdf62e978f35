"""The files under deploy/: valid by their tools' own schemas, and true to what the code says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from config.settings import Settings
from restyle.telemetry import metrics
from tests.support.compose import ROOT
from tests.support.promtool import checked
from workers.gauges import FAMILIES

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
ROLES = ("worker", "beat", "dashboard")
SCHEMAS = ROOT / "tests/support/schemas"


def manifests() -> list[tuple[str, dict[str, Any]]]:
    """Every object of the manifests, by its file."""
    files = sorted(path for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml")
    return [(path.name, found) for path in files for found in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def the(kind: str, name: str) -> dict[str, Any]:
    """One of them."""
    return next(found for _, found in manifests() if found["kind"] == kind and found["metadata"]["name"] == name)


def told() -> set[str]:
    """Every name that a scrape has."""
    names = set(FAMILIES)
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            kinds = {Counter: ["_total"], Histogram: ["_bucket", "_sum", "_count"]}.get(type(metric), [""])
            names |= {metric._name + kind for kind in kinds}
    return names


def asked(text: str) -> set[str]:
    """Our metrics that an expression or a page names."""
    return set(re.findall(r"\brestyle_[a-z0-9_]+", text))


# -- Kubernetes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_manifests_are_valid(version: str) -> None:
    """Each object fits its kind's schema, strictly; KEDA's kind fits its resource definition's."""
    keda = json.loads((SCHEMAS / "keda-scaledobject.json").read_text(encoding="utf-8"))
    kinds = []
    for _, found in manifests():
        kinds.append(found["kind"])
        if found["apiVersion"].startswith("keda.sh/"):
            jsonschema.Draft202012Validator(keda).validate(found)
        else:
            kubernetes_validate.validate(found, version, strict=True)
    assert sorted(kinds) == sorted(
        ["Namespace", *["ConfigMap"] * 2, *["Secret"] * 3, *["Deployment"] * 3, *["Service"] * 2, "PodDisruptionBudget",
         "ScaledObject", *["NetworkPolicy"] * 5]
    )  # fmt: skip


def test_the_schemas_refuse_a_typing_error() -> None:
    """Both validators are closed: a misspelled field is none."""
    worker = the("Deployment", "restyle-worker")
    worker["spec"]["template"]["spec"]["terminationGracePeriod"] = 240
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(worker, "1.37", strict=True)
    keda = json.loads((SCHEMAS / "keda-scaledobject.json").read_text(encoding="utf-8"))
    wrong = the("ScaledObject", "restyle-worker")
    wrong["spec"]["minReplicaCounts"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(keda).validate(wrong)


def test_the_kustomization_has_every_manifest_but_the_secret() -> None:
    """What is applied is what is there; the example of the secret stays out, and holds none."""
    named = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert sorted(named) == sorted({name for name, _ in manifests()} - {"secret.example.yaml"})
    for role in ROLES:
        assert set(the("Secret", f"restyle-{role}")["stringData"].values()) == {""}


def test_pods_are_sealed_and_have_time_to_drain() -> None:
    """No root, nothing to write but /tmp, no token of the cluster; a worker's grace is longer than a call."""
    for name in ("worker", "beat", "dashboard"):
        pod = the("Deployment", f"restyle-{name}")["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert container["resources"]["limits"]["memory"]
        assert {"livenessProbe", "readinessProbe", "startupProbe"} <= container.keys()
    worker = the("Deployment", "restyle-worker")["spec"]["template"]["spec"]
    assert worker["terminationGracePeriodSeconds"] > Settings.model_fields["api_timeout"].default + 30


def test_each_role_has_its_own_secrets_and_no_others() -> None:
    """Only workers pay and notify, only the dashboard knows its tokens, and no pod has another's secret."""
    has = {}
    for role in ROLES:
        (container,) = the("Deployment", f"restyle-{role}")["spec"]["template"]["spec"]["containers"]
        sources = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]
        assert sources == [f"restyle-{role}"]
        assert "secretKeyRef" not in json.dumps(container.get("env", []))
        has[role] = set(the("Secret", f"restyle-{role}")["stringData"])
    shared = {"RESTYLE_REDIS_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert has["beat"] == shared
    assert has["dashboard"] - shared == {"RESTYLE_DASHBOARD_TOKEN", "RESTYLE_DASHBOARD_VIEW_TOKEN"}
    assert has["worker"] - shared == {
        "RESTYLE_API_KEY", "RESTYLE_NOTIFY_SECRET", "RESTYLE_NOTIFY_SLACK", "RESTYLE_SMTP_PASSWORD",
    }  # fmt: skip


def test_nobody_reaches_a_pod_but_as_its_policy_says() -> None:
    """Nothing is allowed by default; what is opened are a pod's own ports; no address of the own link is reached."""
    policies = {
        found["metadata"]["name"]: found["spec"] for _, found in manifests() if found["kind"] == "NetworkPolicy"
    }
    assert policies["restyle-nobody"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for role in ROLES:
        (container,) = the("Deployment", f"restyle-{role}")["spec"]["template"]["spec"]["containers"]
        policy = policies[f"restyle-{role}"]
        labels = the("Deployment", f"restyle-{role}")["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"] == labels
        (rule,) = policy["ingress"]
        assert all("namespaceSelector" in peer for peer in rule["from"])
        assert {port["port"] for port in rule["ports"]} == {port["containerPort"] for port in container["ports"]}
    blocks = re.findall(r"ipBlock: .*", (KUBERNETES / "networkpolicy.yaml").read_text(encoding="utf-8"))
    assert blocks
    assert all("except: [169.254.0.0/16]" in block or 'except: ["fe80::/10"]' in block for block in blocks)


def test_workers_are_scaled_by_pending_jobs_and_never_to_none_while_a_run_is_open() -> None:
    """The figures are those that the beat tells, at the address of its Service."""
    scaled = the("ScaledObject", "restyle-worker")["spec"]
    triggers = {trigger["metadata"]["valueLocation"]: trigger["metadata"] for trigger in scaled["triggers"]}
    assert triggers.keys() == {"restyle_pending_jobs", "restyle_open_runs"} <= FAMILIES.keys()
    beat = the("Service", "restyle-beat")
    port = beat["spec"]["ports"][0]["port"]
    assert {found["url"] for found in triggers.values()} == {f"http://restyle-beat.restyle.svc:{port}/metrics"}
    assert scaled["minReplicaCount"] == 0
    assert triggers["restyle_open_runs"]["activationTargetValue"] == "0"


def test_settings_in_manifests_exist() -> None:
    """Each RESTYLE_ variable of the manifests and of the compose file is a setting."""
    known = {name.upper() for name in Settings.model_fields} | {"CONFIG", "TOML"}
    files = [*KUBERNETES.glob("*.yaml"), ROOT / "docker-compose.yml", ROOT / ".env.example", ROOT / "Dockerfile"]
    for path in files:
        names = set(re.findall(r"\bRESTYLE_([A-Z_]+)\b", path.read_text(encoding="utf-8")))
        assert names <= known, path


# -- Prometheus and Grafana --------------------------------------------------------------------------------


def test_alerts_pass_their_unit_tests() -> None:
    """Prometheus's own tool takes the configuration and the rules, and runs the rules' tests."""
    checked("check", "config", "prometheus.yml", folder=DEPLOY / "prometheus")
    checked("test", "rules", "alerts_test.yml", folder=DEPLOY / "prometheus")


def test_every_alert_is_tested_told_of_and_made_of_metrics_that_exist() -> None:
    """Each has a test in which it fires and one in which it does not, and a line in the guide."""
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    tests = yaml.safe_load((DEPLOY / "prometheus/alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    looks = [look for test in tests for look in test["alert_rule_test"]]
    guide = (ROOT / "docs/guides/operating.md").read_text(encoding="utf-8")
    for rule in rules:
        mine = [look for look in looks if look["alertname"] == rule["alert"]]
        assert {bool(look.get("exp_alerts")) for look in mine} == {True, False}, rule["alert"]
        assert rule["alert"] in guide
        assert asked(rule["expr"]) <= told(), rule["alert"]
    assert {look["alertname"] for look in looks} == {rule["alert"] for rule in rules}


def test_the_grafana_dashboard_asks_for_metrics_that_exist(tmp_path: Path) -> None:
    """Each expression is PromQL, of metrics that are told; no two panels share a place."""
    board = json.loads((DEPLOY / "grafana/dashboards/restyle.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert expressions
    assert set.union(*map(asked, expressions)) <= told()
    places = [
        (x, y)
        for panel in board["panels"]
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    rules = [{"record": f"restyle:{number}", "expr": text} for number, text in enumerate(expressions)]
    file = tmp_path / "expressions.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    checked("check", "rules", str(file))
