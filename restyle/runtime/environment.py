"""The environment of a process that is started here: what any program may need, and no secret."""

from __future__ import annotations

import os

#: What any program may need of a machine: where things are, in which language and zone it speaks.
_PLAIN = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "LD_LIBRARY_PATH",
     "DYLD_LIBRARY_PATH", "VIRTUAL_ENV"}
)  # fmt: skip
_PLAIN_PREFIXES = ("LC_", "PYTHON")


def plain(**more: str) -> dict[str, str]:
    """For a program that needs nothing of restyle: servers of others, what keeps them, readers of foreign files."""
    given = {
        name: value for name, value in os.environ.items() if name in _PLAIN or name.startswith(_PLAIN_PREFIXES)
    }  # fmt: skip
    return {**given, **more}
