"""Prometheus itself, and its tool for rules and metrics; from Debian's package where they are missing."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from apps.stack.servers import free_port
from tests.support.brought import PLACE, brought
from tests.support.servers import die_with_parent
from tests.support.wait import wait_until

INSTALL = "install-prometheus"


def checked(*args: str, text: str | None = None, folder: Path | None = None) -> None:
    """Runs promtool; whatever it complains of fails the test.

    The test is skipped where the tool cannot be had.
    """
    tool = brought(INSTALL, "promtool", str(PLACE))
    done = subprocess.run(
        [tool, *args], cwd=folder, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Prometheus:
    """A server that scrapes."""

    address: str

    def _ask(self, path: str, **fields: str) -> Any:
        with urllib.request.urlopen(f"{self.address}{path}?{urllib.parse.urlencode(fields)}", timeout=5) as answer:
            return json.load(answer)

    def is_ready(self) -> bool:
        """Whether it answers yet."""
        try:
            urllib.request.urlopen(f"{self.address}/-/ready", timeout=5).close()
        except OSError:
            return False
        return True

    def targets_up(self) -> int:
        """How many of what it scrapes answered the last time."""
        return sum(target["health"] == "up" for target in self._ask("/api/v1/targets")["data"]["activeTargets"])

    def query(self, expression: str) -> list[float]:
        """The values of an expression now, one for each series."""
        return [float(series["value"][1]) for series in self._ask("/api/v1/query", query=expression)["data"]["result"]]

    def alerts(self) -> set[str]:
        """The names of the alerts that are pending or firing."""
        return {alert["labels"]["alertname"] for alert in self._ask("/api/v1/alerts")["data"]["alerts"]}


@contextmanager
def running_prometheus(folder: Path, targets: Mapping[str, list[str]], rules: Path) -> Iterator[Prometheus]:
    """Scrapes these addresses each second, by job, until the end; on loopback.

    The test is skipped where Prometheus cannot be had.
    """
    program = brought(INSTALL, "prometheus", str(PLACE))
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": addresses}]} for job, addresses in targets.items()
        ],
    }
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks to end with this process
        )  # fmt: skip
        try:
            server = Prometheus(f"http://{address}")
            wait_until(server.is_ready, timeout=60, description="Prometheus")
            yield server
        finally:
            process.terminate()
            process.wait(30)
