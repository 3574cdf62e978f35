"""The real `restyle` command as a process, in a folder and an environment of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.settings import Settings

#: Short intervals of the protocol, so that recovery takes a test seconds rather than minutes.
QUICK = {
    "RESTYLE_HEARTBEAT_SECONDS": "0.3",
    "RESTYLE_HEARTBEAT_TTL": "2",
    "RESTYLE_DEAD_AFTER": "1",
    "RESTYLE_DISPATCH_SECONDS": "0.2",
    "RESTYLE_REFEED_AFTER": "5",
    "RESTYLE_BACKOFF_BASE": "0.05",
    "RESTYLE_BACKOFF_MAX": "0.3",
    "RESTYLE_PROBE_SECONDS": "0.5",
    "RESTYLE_PROBE_MAX": "2",
}

#: The intervals by which a dead worker is found out, as they are where nobody sets them.
UNHURRIED = {
    f"RESTYLE_{name.upper()}": str(Settings.model_fields[name].default)
    for name in ("heartbeat_seconds", "heartbeat_ttl", "dead_after", "dispatch_seconds", "refeed_after")
}


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its one object on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@dataclass(frozen=True)
class Command:
    """`restyle` with one environment."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    #: Where it is installed: the folder of an environment's programs.
    programs: Path = Path(sys.executable).parent

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the process."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, **QUICK, "COLUMNS": "120", **self.env}

    def __call__(self, *args: str, timeout: float = 90, expect: int | None = 0, stdin: str | None = None) -> Done:
        """Runs a command to its end; `expect` is its exit code, None for any."""
        done = subprocess.run(
            self.argv(*args), cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=timeout, check=False, input=stdin,
        )  # fmt: skip
        found = Done(done.returncode, done.stdout, done.stderr)
        assert expect is None or done.returncode == expect, f"restyle {' '.join(args)}: {found}"
        assert "Traceback" not in done.stderr, found
        return found

    @contextmanager
    def started(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """Starts a command; whatever is left of it is killed at the end."""
        process = subprocess.Popen(
            self.argv(*args), cwd=self.folder, env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - it only sets a signal
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def argv(self, *args: str) -> list[str]:
        """The command's words."""
        return [str(self.programs / "restyle"), *args]


def listen_to_ctrl_c() -> None:
    """Undoes what a shell does to what it starts in the background: to let it ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes_with(text: str) -> list[int]:
    """The living processes whose command line, environment or folder has the text."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            told += str((entry / "cwd").readlink()).encode()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text.encode() in told and state != "Z":
            found.append(int(entry.name))
    return found
