"""deploy/prometheus and deploy/grafana: valid by their own tool, and true to what the code says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from prometheus_client import Counter, Gauge, Histogram

from config.settings import Settings
from restyle.telemetry import metrics
from tests.support.compose import ROOT
from tests.support.prometheus import checked
from workers.gauges import FAMILIES

DEPLOY = ROOT / "deploy"


def scraped() -> set[str]:
    """Every name that a scrape has."""
    names = set(FAMILIES)
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            kinds = {Counter: ["_total"], Histogram: ["_bucket", "_sum", "_count"]}.get(type(metric), [""])
            names |= {metric._name + kind for kind in kinds}
    return names


def named_in(text: str) -> set[str]:
    """Our metrics that an expression or a page names."""
    return set(re.findall(r"\brestyle_[a-z0-9_]+", text))


def test_settings_in_files_of_deploy_exist() -> None:
    """Each RESTYLE_ variable of them, of the compose file and of the image is a setting."""
    known = {name.upper() for name in Settings.model_fields} | {"CONFIG", "TOML"}
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    for path in [*files, ROOT / "docker-compose.yml", ROOT / ".env.example", ROOT / "Dockerfile"]:
        names = set(re.findall(r"\bRESTYLE_([A-Z_]+)\b", path.read_text(encoding="utf-8")))
        assert names <= known, path


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
        assert named_in(rule["expr"]) <= scraped(), rule["alert"]
    assert {look["alertname"] for look in looks} == {rule["alert"] for rule in rules}


def test_the_grafana_dashboard_asks_for_metrics_that_exist(tmp_path: Path) -> None:
    """Each expression is PromQL, of metrics that exist; no two panels share a place."""
    board = json.loads((DEPLOY / "grafana/dashboards/restyle.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert expressions
    assert set.union(*map(named_in, expressions)) <= scraped()
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
