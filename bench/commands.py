"""The cost of a command: CPU, wall clock and memory of one process, as the system counts them when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU and of wall clock, and the peak memory."""

    cpu: float
    wall: float
    rss_mb: float
    code: int
    out: str
    err: str


def restyle(*words: str) -> list[str]:
    """The `restyle` of this environment."""
    return [str(Path(sys.executable).with_name("restyle")), *words]


def cost(command: list[str], *, env: Mapping[str, str], cwd: Path, timeout: float = 1200) -> Cost:
    """Runs a command to its end."""
    out, err = cwd / "out.txt", cwd / "err.txt"
    began = time.monotonic()
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            command, env=dict(env), cwd=cwd, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL
        )
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - began > timeout:
                process.kill()
            time.sleep(0.005)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(
        cpu=used.ru_utime + used.ru_stime,
        wall=time.monotonic() - began,
        rss_mb=used.ru_maxrss * unit / 1e6,
        code=process.returncode,
        out=out.read_text(),
        err=err.read_text(),
    )
