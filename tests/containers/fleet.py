"""The fleet of docker-compose.yml, as the guide has it started: its containers, its commands and its sandbox."""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from apps.stack.servers import free_port
from tests.containers.engine import Engine
from tests.support.compose import ROOT, read_compose
from tests.support.wait import wait_until

#: What the image is called here, so that nobody's own `restyle` is replaced.
IMAGE = "restyle-proof"
SERVICES = ("valkey", "s3", "sandbox", "worker", "beat", "dashboard")
#: Calls that each worker has in flight.
CONCURRENCY = 2
#: Pictures of the example's catalog.
PICTURES = 12

_ASK = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8000/control', {body}).read().decode())"


def environment(folder: Path) -> dict[str, str]:
    """What stands in `.env`: secrets of this run, and a catalog of its own."""
    names = ("VALKEY_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY", "DASHBOARD_TOKEN", "GRAFANA_PASSWORD")
    chosen = {name: secrets.token_hex(16) for name in names}
    return chosen | {
        "RESTYLE_API_KEY": "SG_sandbox_only",
        "RESTYLE_CONCURRENCY": str(CONCURRENCY),
        "CATALOG": str(folder / "catalog"),
        "DASHBOARD_PORT": str(free_port()),
    }


@dataclass
class Fleet:
    """A project of Compose."""

    engine: Engine
    folder: Path
    env: dict[str, str]
    #: One's own, since Podman's networks are known to the whole machine by their names.
    project: str = field(default_factory=lambda: f"{IMAGE}-{secrets.token_hex(2)}")
    _runs: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        (self.folder / "env").write_text("".join(f"{name}={value}\n" for name, value in self.env.items()))
        ours = {
            name: {"image": IMAGE} if service["image"] == "restyle" else {}
            for name, service in read_compose(self.env)["services"].items()
        }
        instead = {name: service | dict(self.engine.instead) for name, service in ours.items()}
        services = {name: service for name, service in instead.items() if service}
        (self.folder / "instead.yml").write_text(yaml.safe_dump({"services": services}))
        shutil.copytree(ROOT / "examples", self.folder / "catalog")

    def compose(self, *words: str) -> str:
        """What a command of Compose prints."""
        files = ["--file", str(ROOT / "docker-compose.yml"), "--file", str(self.folder / "instead.yml")]
        place = ["--project-name", self.project, "--env-file", str(self.folder / "env")]
        return self.engine.run_compose(*place, *files, *words)

    def up(self, workers: int) -> None:
        """Has this many workers, and everything else; what runs already stays as it is."""
        self.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", f"worker={workers}")

    def down(self) -> None:
        """Ends all of it, and removes its volumes."""
        self.compose("down", "--volumes", "--timeout", "5")

    def containers(self, service: str, *, dead: bool = False) -> list[str]:
        """The names of a service's running containers, or of the dead ones too."""
        labels = {"project": self.project, "service": service}
        chosen = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return sorted(self.engine.run("ps", *["--all"] * dead, *chosen, "--format", "{{.Names}}").split())

    def wait_healthy(self, *services: str) -> int:
        """Waits until every container of these services is well by its own check; how many there are."""
        names = [name for service in services for name in self.containers(service)]
        for name in names:
            wait_until(partial(self.engine.is_healthy, name), timeout=600, description=f"{name} is healthy")
        return len(names)

    def inspect(self, container: str, what: str) -> str:
        """A field of what the engine knows of a container."""
        return self.engine.run("inspect", "--format", f"{{{{{what}}}}}", container).strip()

    def inside(self, container: str, *words: str) -> str:
        """What a command in a running container prints."""
        return self.engine.run("exec", container, *words)

    def sandbox(self, **changes: float) -> dict[str, Any]:  # Any: counters of several forms
        """The sandbox's counters, after these changes."""
        body = repr(json.dumps(changes).encode()) if changes else None
        (container,) = self.containers("sandbox")
        counters: dict[str, Any] = json.loads(self.inside(container, "python", "-c", _ASK.format(body=body)))
        return counters

    def paid(self) -> int:
        """Calls that were paid for so far."""
        return int(self.sandbox()["charged"])

    def restyle(self, *words: str) -> str:
        """A command in the container that is there for commands."""
        return self.compose("--profile", "command", "run", "--rm", "--no-deps", "-T", "restyle", *words)

    def submit(self, jobs: int) -> str:
        """Submits a run of so many jobs that no run before it had; its id."""
        self._runs += 1
        variants = [
            {"name": f"style{number}", "prompt": f"style {number} of run {self._runs}: a photo of a {{title}}"}
            for number in range(jobs // PICTURES)
        ]
        file = f"variants-{self._runs}.json"
        (self.folder / "catalog" / file).write_text(json.dumps({"variants": variants}))
        return self.restyle("submit", "catalog.csv", "--variants", file, "--yes").split()[-1]

    def status(self, *words: str) -> dict[str, Any]:  # Any: the forms of docs/formats.md
        """What `restyle status` tells."""
        (container,) = self.containers("dashboard")
        status: dict[str, Any] = json.loads(self.inside(container, "restyle", "status", *words, "--json"))
        return status

    def ended(self, run_id: str, timeout: float) -> dict[str, Any]:
        """Waits for a run's end, and that no call is in flight; its status."""

        def over() -> dict[str, Any] | None:
            status = self.status(run_id)
            return status if status["status"] == "finished" and not self.sandbox()["in_flight"] else None

        return wait_until(over, timeout=timeout, description=f"the end of {run_id}")
