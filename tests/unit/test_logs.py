"""The lines of a log that goes to a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
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


_LOG = """
import logging, sys
from config import logs
logs.configure(sys.argv[1], "info")
import structlog
text = "\\x1b[2J\\x1b]0;x\\x07\\u202e\\x9b31m SG_0123456789abcdef"
log = structlog.get_logger("restyle.test")
log.info(text, run=text, several=[text], inner={text: {"deep": text}}, raw=text.encode())
logging.getLogger("foreign").warning("%s and %s", text, [text])
try:
    raise ValueError(text)
except ValueError:
    log.exception("bug", why=text)
    logging.getLogger("foreign").exception(text)
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_whatever_is_logged_is_harmless(log_format: str) -> None:
    """By our loggers and by those of libraries, in values within values and in tracebacks; and no key among it."""
    done = subprocess.run(
        [sys.executable, "-c", _LOG, log_format], capture_output=True, check=True, cwd=Path(logs.__file__).parents[1]
    )
    lines = done.stderr.decode().splitlines()
    assert len(lines) >= 4
    assert [line for line in lines if not line.isprintable()] == []
    assert "SG_0" not in done.stderr.decode()


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


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk an error here would end the job whose paid answer the line is about."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        line = logs.Lines("restyle.test")
        line.error("a paid answer is in memory alone")
        line.warning("again")
        with pytest.raises(OSError, match="No space left"):
            full.flush()
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space left"):
            full.close()
    line.info("its file is closed")
