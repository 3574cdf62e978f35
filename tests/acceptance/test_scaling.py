"""deploy/kubernetes with real processes for pods: probes are answered, and KEDA's figures are those of the run."""

from __future__ import annotations

import math
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from apps.stack.servers import free_port
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.command import Command
from tests.support.compose import ROOT
from tests.support.kubernetes import ROLES, Cluster, rendered
from tests.support.prometheus import Prometheus, checked, running_prometheus
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.long]

JOBS = 48
#: Jobs for which the account has credits before it is topped up.
PAID_FOR = 20


@dataclass(frozen=True)
class Pods:
    """The containers of an overlay as processes of this machine, with the fleet's servers and secrets."""

    cluster: Cluster
    fleet: FleetOf
    ports: dict[str, int]

    @contextmanager
    def running(self, role: str) -> Iterator[subprocess.Popen[str]]:
        """A role's container: its arguments, its settings and its restyle.toml, with addresses of this machine."""
        folder, container = self.fleet.command.folder, self.cluster.container(role)
        (declared,) = container["ports"]
        here = {"0.0.0.0": "127.0.0.1", str(declared["containerPort"]): str(self.ports[role])}  # noqa: S104 - replaced
        environment = {**self.cluster.environment(role), **self.fleet.command.env}
        if role != "dashboard":
            environment["RESTYLE_HEALTH_ADDRESS"] = f"127.0.0.1:{self.ports[role]}"
        environment["RESTYLE_HOME"] = str(folder / role)
        environment["RESTYLE_CONFIG"] = str(folder / "restyle.toml")
        (folder / "restyle.toml").write_text(self.cluster.the("ConfigMap", "restyle-toml")["data"]["restyle.toml"])
        arguments = [here.get(word, word) for word in container["args"]]
        with Command(folder, environment).started(*arguments) as process:
            yield process

    def answers(self, role: str, path: str) -> tuple[int, str]:
        """What a role's port answers to a probe, which names no host; 0 where it does not."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[role]}{path}", headers={"Host": "10.1.2.3"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            return 0, ""

    def wait_for_probes(self, role: str) -> None:
        """Waits until each of a role's probes passes."""
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = self.cluster.container(role)[probe]["httpGet"]["path"]
            wait_until(lambda path=path: self.answers(role, path)[0] == 200, timeout=60, description=f"{role}: {path}")  # type: ignore[misc] # the default binds the loop's value

    def figure(self, name: str) -> float:
        """A figure of the beat's scrape: the one sample of that name, as KEDA reads it."""
        status, text = self.answers("beat", "/metrics")
        assert status == 200
        (value,) = (
            sample.value for family in text_string_to_metric_families(text) for sample in family.samples
            if sample.name == name
        )  # fmt: skip
        return value


class Silent(Exception):
    """A trigger has no figure, and KEDA keeps what there is."""


def workers(scaled: dict[str, Any], pods: Pods, prometheus: Prometheus) -> int:
    """How many workers KEDA would have, by its own rules.

    Raises:
        Silent: a figure could not be had.
    """
    replicas, is_active = 1, False
    for trigger in scaled["triggers"]:
        metadata = trigger["metadata"]
        if trigger["type"] == "metrics-api":
            value, target = pods.figure(metadata["valueLocation"]), metadata["targetValue"]
        else:
            values = prometheus.query(metadata["query"])
            if len(values) != 1:
                raise Silent(metadata["query"])
            (value,), target = values, metadata["threshold"]
        is_active |= value > float(metadata.get("activationTargetValue", metadata.get("activationThreshold", 0)))
        replicas = max(replicas, math.ceil(value / float(target)))
    return min(replicas, scaled["maxReplicaCount"]) if is_active else int(scaled["minReplicaCount"])


@pytest.mark.timeout(300)  # a Prometheus and four processes are started, on a machine that may be busy
def test_keda_scales_by_what_status_says(fleet: FleetOf, sandbox: SandboxServer, tmp_path: Path) -> None:
    """A worker from the submit to the end, with an empty account too, and none then; a beat that is gone is no zero."""
    direct, by_scrapes = (
        rendered(f"overlays/{name}").the("ScaledObject", "restyle-worker")["spec"]
        for name in ("keda", "keda-prometheus")
    )
    pods = Pods(rendered("overlays/keda"), fleet, {role: free_port() for role in ROLES})
    targets = {role: [f"127.0.0.1:{pods.ports[role]}"] for role in ("beat", "worker")}
    write_catalog(fleet.command.folder, JOBS)
    sandbox.control(balance=PAID_FOR * 0.02, latency=0.2)
    with running_prometheus(tmp_path / "prometheus", targets, ROOT / "deploy/prometheus/alerts.yml") as prometheus:
        with pods.running("beat"):
            pods.wait_for_probes("beat")

            def agree(run_id: str, pending: int, count: int) -> None:
                assert fleet.status(run_id)["pending"] == pending
                assert pods.figure("restyle_pending_jobs") == pending
                wait_until(
                    lambda: prometheus.query("max(restyle_pending_jobs)") == [pending], timeout=30,
                    description=f"a scrape of {pending} pending jobs",
                )  # fmt: skip
                assert workers(direct, pods, prometheus) == workers(by_scrapes, pods, prometheus) == count

            wait_until(prometheus.targets_up, timeout=20, description="a scrape of the beat")
            assert workers(direct, pods, prometheus) == workers(by_scrapes, pods, prometheus) == 0
            run_id = fleet.submit()
            agree(run_id, JOBS, 1)
            wait_until(
                lambda: "RestyleNoWorkers" in prometheus.alerts(), timeout=20, description="the alert of no worker"
            )
            with pods.running("worker"), pods.running("dashboard"):
                for role in ROLES:
                    pods.wait_for_probes(role)
                left = JOBS - PAID_FOR
                wait_until(
                    lambda: pods.figure("restyle_pending_jobs") == left,
                    timeout=90,
                    description="an account without credits",
                )
                agree(run_id, left, 1)
                sandbox.control(top_up=1000)
                fleet.command("resume", run_id, "--detach")
                done = fleet.finished(run_id, within=90)
                agree(run_id, 0, 0)
                assert prometheus.targets_up() == 2
                checked("check", "metrics", text=pods.answers("worker", "/metrics")[1])
                assert "RestyleNoWorkers" not in prometheus.alerts()
        wait_until(lambda: _is_silent(by_scrapes, pods, prometheus), timeout=20, description="no figure of a dead beat")
    assert (done["succeeded"], sandbox.charged, sandbox.paid_twice) == (JOBS, JOBS, {})


def _is_silent(scaled: dict[str, Any], pods: Pods, prometheus: Prometheus) -> bool:
    try:
        workers(scaled, pods, prometheus)
    except Silent:
        return True
    return False
