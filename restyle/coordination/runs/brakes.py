"""Brakes: of a run that goes wrong by itself no more is paid for than it takes to see that.

Of each variant the last fifty jobs are counted (lua/report.lua). Where at least twenty have ended, and half of them
failed alike or look wrong, the variant is braked: its jobs are neither fed nor claimed. Once all variants are, or
nothing else is left to be fed, the run is suspended: `failing`, `suspect`. A limit that is a number counts all jobs of
the run. Redis alone counts, and counts anew after a loss. That a run was suspended stands in S3 within seconds
(workers/background/reconciler.py), so that no loss has it go on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator

from restyle.coordination.redis.hints import read_object

if TYPE_CHECKING:
    from restyle.coordination.redis.client import State

_LIMIT = re.compile(r"([0-9]{1,9})(%?)")
#: Characters of what Redis has of a brake.
_MOST = 2_000
#: Why a variant is braked, or a run suspended.
FAILING, SUSPECT = "failing", "suspect"


@dataclass(frozen=True)
class Brake:
    """A variant of a run that stands still, and why."""

    variant: str
    reason: str
    detail: str


def read_limit(value: object) -> str:
    """How many jobs may fail or look wrong: a number, or a share like `50%`; `0`: there is no limit.

    Raises:
        ValueError: it is neither.
    """
    text = "" if isinstance(value, bool) else str(value).strip()
    match = _LIMIT.fullmatch(text)
    if match is None or (match[2] and int(match[1]) > 100):
        raise ValueError(f"{text!r} is neither a number of jobs, like 30, nor a share, like 50%; 0 is no limit")
    number = int(match[1])
    return f"{number}{match[2]}" if number else "0"


BrakeLimit = Annotated[str, BeforeValidator(read_limit)]


def brakes(state: State, run_id: str) -> tuple[Brake, ...]:
    """The variants of a run that are braked, by name; one whose entry cannot be read is braked all the same."""
    entries = state.ask("HGETALL", state.key("run", run_id, "braked"))
    return tuple(_brake(variant, text) for variant, text in sorted(entries.items()))


def braked_variants(state: State, run_id: str) -> frozenset[str]:
    """The names of the variants of a run that are braked."""
    return frozenset(state.ask("HKEYS", state.key("run", run_id, "braked")))


def shortened(text: str, most: int = 120) -> str:
    """The beginning of a text as one line, to be quoted."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _brake(variant: str, text: str) -> Brake:
    entry = read_object(text) or {"detail": "what Redis has of it cannot be read"}
    reason = SUSPECT if entry.get("reason") == SUSPECT else FAILING
    return Brake(variant[:_MOST], reason, str(entry.get("detail", ""))[:_MOST])
