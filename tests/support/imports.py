"""Which modules a real `restyle` imports, as Python itself tells of them."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.support.command import Command

_LINE = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


def imported(restyle: Command, *words: str, expect: int = 0) -> set[str]:
    """The modules that this command imports from its start to its end, in whatever thread."""
    told = replace(restyle, env={**restyle.env, "PYTHONPROFILEIMPORTTIME": "1"})(*words, expect=expect)
    found = set(_LINE.findall(told.err))
    assert "apps.cli" in found, told
    return found


def among(found: set[str], *packages: str) -> list[str]:
    """Those of these packages that something was imported of."""
    return [name for name in packages if any(module == name or module.startswith(f"{name}.") for module in found)]
