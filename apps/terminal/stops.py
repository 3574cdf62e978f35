"""Counts this process's signals to stop: after the second it waits only for the end of what it started."""

from __future__ import annotations

_signals: list[int] = []


def note(number: int) -> None:
    """Counts a signal to stop."""
    _signals.append(number)


def is_urgent() -> bool:
    """Whether more than one has come; the process may still be obeying the first."""
    return len(_signals) > 1
