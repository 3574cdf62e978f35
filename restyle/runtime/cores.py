"""What becomes of the memory of a process that dies: it holds keys and pictures, and is written nowhere.

Imports nothing that costs memory: keepers live as long as the stack.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path


def write_none() -> None:
    """Has the system write no core of this process and of those that it starts, neither to a file nor to a program."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Linux asks no limit where a program takes the cores; without any mapping in them they hold no memory.
    with suppress(OSError):
        Path("/proc/self/coredump_filter").write_text("0")
