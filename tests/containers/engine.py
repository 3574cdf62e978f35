"""The container engine at hand: Docker where a daemon answers, else Podman with a storage of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Reads the compose file for Podman. Debian's own is too old for it.
PODMAN_COMPOSE = "podman-compose==1.6.0"
#: Seconds that a command may take: a build on a busy machine is the longest.
LONGEST = 1800

_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""
# No systemd is needed, and no right to raise a limit: Podman would give each container a million open files. The time
# to drain is the compose file's `stop_grace_period`, which podman-compose gives to no container.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
stop_timeout = 210
tmp_dir = "{folder}/libpod"
{runtime}
[network]
network_config_dir = "{folder}/networks"
"""
_REGISTRIES = 'unqualified-search-registries = ["docker.io"]\n'


class Missing(Exception):
    """Something that the proof needs is not here, for the reason that it names."""


class Failed(Exception):
    """A command of the engine failed."""


@dataclass(frozen=True)
class Engine:
    """How containers are built and run here."""

    name: str
    versions: str
    compose: tuple[str, ...]
    env: Mapping[str, str]
    #: What the compose file cannot say for this engine, for each service.
    instead: Mapping[str, object]

    def run(self, *words: str) -> str:
        """What a command of the engine prints.

        Raises:
            Failed: it failed.
        """
        return self._run(self.name, *words)

    def run_compose(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        """What a command of Compose prints.

        Raises:
            Failed: it failed.
        """
        return self._run(*self.compose, *words, env=env)

    def succeeds(self, *words: str) -> bool:
        """Whether a command of the engine ends with 0."""
        try:
            self.run(*words)
        except Failed:
            return False
        return True

    def logs(self, container: str) -> str:
        """What a container has written."""
        command = [self.name, "logs", container]
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=60,
            check=False, env={**os.environ, **self.env},
        ).stdout  # fmt: skip

    def is_healthy(self, container: str) -> bool:
        """Whether a container is well by its own health check.

        Podman has systemd make the checks at their intervals; here each is made as it is asked for.
        """
        if self.name == "podman":
            return self.succeeds("healthcheck", "run", container)
        return self.run("inspect", "--format", "{{.State.Health.Status}}", container).strip() == "healthy"

    def _run(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=LONGEST, check=False,
            stdin=subprocess.DEVNULL, env={**os.environ, **self.env, **(env or {})},
        )  # fmt: skip
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
            short = " ".join([Path(command[0]).name, *command[1:4]])
            raise Failed(f"{short} … ended with {done.returncode}: {' / '.join(lines)}")
        return done.stdout


def engine_at_hand(folder: Path) -> Engine:
    """The engine of this machine; what it needs for itself lies in this folder.

    Raises:
        Missing: there is none, or it cannot read a compose file.
    """
    if shutil.which("docker") is None:
        without = "there is no docker"
    elif not _answers("docker", "info"):
        without = "no Docker daemon answers"
    elif not _answers("docker", "compose", "version"):
        without = "docker has no Compose"
    else:
        version = _first_line("docker", "version", "--format", "{{.Server.Version}}")
        compose = _first_line("docker", "compose", "version", "--short")
        return Engine("docker", f"Docker {version}, Compose {compose}", ("docker", "compose"), {}, {})
    if shutil.which("podman") is None:
        raise Missing(f"{without}, and no podman on the PATH")
    return _podman(folder)


def _podman(folder: Path) -> Engine:
    runc = shutil.which("runc")
    settings = {
        "CONTAINERS_STORAGE_CONF": _STORAGE.format(folder=folder),
        "CONTAINERS_CONF": _CONTAINERS.format(folder=folder, runtime='runtime = "runc"' if runc else ""),
        "CONTAINERS_REGISTRIES_CONF": _REGISTRIES,
    }
    env = {}
    for name, text in settings.items():
        path = folder / f"{name.lower()}.toml"
        path.write_text(text, encoding="utf-8")
        env[name] = str(path)
    home = folder / "podman-compose"
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", PODMAN_COMPOSE],
    ):
        if subprocess.run(command, capture_output=True, timeout=600, check=False).returncode:
            raise Missing(f"{without_words(PODMAN_COMPOSE)} could not be installed to read the compose file for podman")
    versions = [_first_line("podman", "--version").replace("podman version", "Podman"), without_words(PODMAN_COMPOSE)]
    if runc:
        versions.append(_first_line("runc", "--version").replace(" version", ""))
    # A service's own `ulimits` take the place of those of containers.conf.
    limits = {"ulimits": {"core": 0, "nofile": 4096, "nproc": 4096}}
    return Engine("podman", ", ".join(versions), (str(home / "bin" / "podman-compose"),), env, limits)


def without_words(pin: str) -> str:
    """A pinned package as one says it."""
    return pin.replace("==", " ")


def _answers(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()[0].strip()
