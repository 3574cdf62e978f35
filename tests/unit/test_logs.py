"""The lines of a log that goes to a file."""

from __future__ import annotations

from typing import Any

import structlog
from hypothesis import given
from hypothesis import strategies as st

from config import logs

VALUES = st.none() | st.integers() | st.booleans() | st.text(max_size=12) | st.lists(st.integers(), max_size=2)


@given(
    st.dictionaries(st.sampled_from(["run", "job", "error", "seconds", "why"]), VALUES),
    st.text("abc XYZ", max_size=50),
    st.sampled_from([{}, {"logger": "restyle.job"}, {"exception": "Traceback\n  at line 1"}]),
)
def test_a_plain_line_is_structlogs_own(fields: dict[str, Any], event: str, more: dict[str, str]) -> None:
    """What is written for a file is what structlog's console would write without colours."""
    told = {**fields, **more, "event": event, "level": "info", "timestamp": "2026-01-01T00:00:00Z"}
    console = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=32)
    assert logs.plain(None, "info", dict(told)) == console(None, "info", dict(told))
