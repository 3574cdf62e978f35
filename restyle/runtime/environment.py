"""The environment for processes that restyle starts: what any program may need, and no secret."""

from __future__ import annotations

import os

#: Variables that any program may need: paths, language, time zone.
_PLAIN = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "LD_LIBRARY_PATH",
     "DYLD_LIBRARY_PATH", "VIRTUAL_ENV"}
)  # fmt: skip
_PLAIN_PREFIXES = ("LC_", "PYTHON")


def plain(**more: str) -> dict[str, str]:
    """The environment for programs that need no setting of ours: servers, their keepers, readers of foreign files."""
    given = {
        name: value for name, value in os.environ.items() if name in _PLAIN or name.startswith(_PLAIN_PREFIXES)
    }  # fmt: skip
    return {**given, **more}
