"""Keeps an optional library out of a process where another would import it and it would not be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(module: str) -> Iterator[None]:
    """Within this context the module cannot be imported, as if it were not installed; no change once it is imported."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment] # Python's own way to forbid an import
    try:
        yield
    finally:
        del sys.modules[module]
