"""The lines of a log that goes to a file."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from config import logs


@pytest.mark.parametrize(
    "event",
    [
        {"event": "ready"},
        {"event": "ready", "logger": "restyle.worker"},
        {"event": "succeeded", "seconds": 8.1, "error": None, "run": "r", "job": ""},
        {"event": "an event with more words than there is room for before its fields", "why": "x"},
        {"event": "quoted", "words": "two words", "pair": "a=b", "lines": "a\nb", "mark": 'say "no"', "its": "it's"},
        {"event": "values", "list": [1, "a"], "map": {"k": "v"}, "yes": True, "umlaut": "gr\u00fcn"},
        {"event": "bug", "exception": "Traceback\n  at line 1", "logger": "restyle.job", "job": "j"},
    ],
)
def test_a_plain_line_is_structlogs_own(event: dict[str, Any]) -> None:
    """What is written for a file is what structlog's console would write without colours."""
    told = {**event, "level": "info", "timestamp": "2026-01-01T00:00:00Z"}
    console = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=32)
    assert logs.plain(None, "info", dict(told)) == console(None, "info", dict(told))


@pytest.mark.parametrize("text", ["\x1b[2J\x1b]0;x\x07", "a\u202eb", "\x9b31m", "a\u2028b", "line\nbreak", "\x00"])
def test_nothing_that_a_terminal_obeys_is_logged(text: str) -> None:
    """Whoever's words they are, they are shown as Python writes them; a traceback keeps its lines."""
    event = {"event": text, "run": text, "count": 3, "exception": f"Traceback\n  {text}"}
    shown = dict(logs.harmless(None, "info", event))
    assert shown["event"].isprintable()
    assert shown["run"].isprintable()
    assert shown["count"] == 3
    assert all(line.isprintable() for line in shown["exception"].split("\n"))
    assert shown["exception"].startswith("Traceback\n")
