"""How often this process was told to stop: from the second time on it waits only for the end of what it started."""

from __future__ import annotations

_signals: list[int] = []


def note(number: int) -> None:
    """A signal to stop has come, whatever this process was at."""
    _signals.append(number)


def is_urgent() -> bool:
    """Whether more than one has come: the first may still be being followed."""
    return len(_signals) > 1
