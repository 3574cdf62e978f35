"""Forbids core dumps: the memory of a process that dies holds keys and pictures, and is not to be written.

Imports nothing that costs memory: keepers live as long as the stack.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path


def write_none() -> None:
    """Has the system write no core of this process and its children, neither to a file nor to a program."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Linux ignores the limit where a program receives the cores; with this filter they hold no memory.
    with suppress(OSError):
        Path("/proc/self/coredump_filter").write_text("0")
