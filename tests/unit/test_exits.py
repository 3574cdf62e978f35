"""With which code a command ends for how its run stands, and the settings that say what may be left."""

from __future__ import annotations

from typing import Any

import pytest

from apps.terminal.exits import run_code
from config.reading import load_settings
from restyle.coordination.runs.brakes import read_limit
from restyle.errors import ConfigurationError
from restyle.models import RunStatus
from tests.support.reports import NOON
from tests.unit.test_progress_line import a_moment

ENDED = {"status": RunStatus.FINISHED, "pending": 0, "failed": 0}


@pytest.mark.parametrize(
    ("left", "allowed", "code"),
    [
        ({}, {}, 0),
        ({"failed": 1}, {"allow_suspects": True, "allow_invalid": True}, 1),
        ({"suspect": 1}, {}, 1),
        ({"suspect": 1}, {"allow_invalid": True}, 1),
        ({"suspect": 1}, {"allow_suspects": True}, 0),
        ({"invalid": 1}, {}, 1),
        ({"invalid": 1}, {"allow_suspects": True}, 1),
        ({"invalid": 1}, {"allow_invalid": True}, 0),
    ],
)
def test_what_is_left_to_a_person_is_no_success(left: dict[str, int], allowed: dict[str, bool], code: int) -> None:
    """Failed jobs, pictures that look wrong and lines that were left out end with 1, but for what is allowed."""
    assert run_code(a_moment(**{**ENDED, **left}), load_settings(**allowed)) == code


@pytest.mark.parametrize(
    ("reason", "code"), [("failing", 4), ("suspect", 4), ("budget", 4), ("operator", 3), ("no_credits", 3)]
)
def test_the_runs_own_limits(reason: str, code: int) -> None:
    """A run that its own brakes have stopped is told from one that a person is needed for."""
    note: dict[str, Any] = {
        "scope": "run", "reason": reason, "detail": "", "since": NOON, "until": None, "by": "w1", "next": "",
    }  # fmt: skip
    assert run_code(a_moment(status=RunStatus.SUSPENDED, suspension=note), load_settings()) == code


@pytest.mark.parametrize(
    ("given", "limit"),
    [("50%", "50%"), ("30", "30"), (40, "40"), ("0", "0"), ("0%", "0"), (" 007 ", "7"), ("100%", "100%")],
)
def test_limits(given: object, limit: str) -> None:
    """A number of jobs, or a share of the last ones; no limit is 0."""
    assert read_limit(given) == limit


@pytest.mark.parametrize("given", ["half", "", "-1", "101%", "2.5", "5 %", "٣", True, None, "9" * 30])
def test_what_is_no_limit(given: object) -> None:
    """It is refused with what it may be, and the setting is named."""
    with pytest.raises(ValueError, match="neither a number of jobs, like 30, nor a share, like 50%"):
        read_limit(given)
    if given is not None:
        with pytest.raises(ConfigurationError, match="RESTYLE_MAX_FAILURES: "):
            load_settings(max_failures=given)
