"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def described() -> dict[str, str]:
    """The machine and what runs on it."""
    told = {"cores": str(os.cpu_count()), "system": f"{platform.system()} {platform.release()}"}
    told |= {"python": platform.python_version(), "processor": platform.machine()}
    told |= {name: version(name) for name in ("celery", "redis", "botocore", "pillow")}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                told["processor"] = line.partition(":")[2].strip()
                break
        told["memory"] = f"{int(Path('/proc/meminfo').read_text().split()[1]) / 1e6:.0f} GB"
    except OSError:
        pass  # not Linux
    return told


def load() -> float:
    """Processes that wanted to run in the last minute."""
    return os.getloadavg()[0]
