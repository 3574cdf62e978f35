"""An optional library kept out of a process, where another one would import it for a use that nobody makes of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(module: str) -> Iterator[None]:
    """Within, this module cannot be imported, as if it were not installed; what is imported already stays so."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment] # Python's own sign for this
    try:
        yield
    finally:
        del sys.modules[module]
