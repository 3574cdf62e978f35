"""Describes the machine of the measurements."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def described() -> dict[str, str]:
    """The machine, its system, and the versions of libraries."""
    facts = {"cores": str(os.cpu_count()), "system": f"{platform.system()} {platform.release()}"}
    facts |= {"python": platform.python_version(), "processor": platform.machine()}
    facts |= {name: version(name) for name in ("celery", "redis", "botocore", "pillow")}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                facts["processor"] = line.partition(":")[2].strip()
                break
        facts["memory"] = f"{int(Path('/proc/meminfo').read_text().split()[1]) / 1e6:.0f} GB"
    except OSError:
        pass  # not Linux
    return facts


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]
