"""The first words of a process to Redis: however long it is away or refuses, the process waits and says why."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

import structlog

from restyle.coordination.redis import server as redis_server
from restyle.coordination.redis.client import State
from restyle.errors import StateUnavailable

log = structlog.get_logger("restyle.redis")

#: Seconds between two tries: the first pause, which doubles, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0


def meet(state: State) -> None:
    """Waits for Redis, and looks whether it suits; from here on its spells are written to the log.

    Until Celery has handlers of its own, a signal ends the process at once and well: there is nothing to drain.

    Raises:
        ConfigurationError: Redis refuses the login, may forget keys, or is a cluster.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave_quietly)
    state.spells.listen(tell)
    until_taken(state.log_in)
    if doubtful := until_taken(lambda: redis_server.check(state)):
        log.warning(doubtful)


def until_taken(step: Callable[[], object]) -> object:
    """Takes a step until Redis has answered to it; what Redis says meanwhile is in the log, once."""
    pause = FIRST_PAUSE
    while True:
        try:
            return step()
        except StateUnavailable:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def tell(spell: StateUnavailable | None, seconds: float) -> None:
    """Writes that Redis refuses or is silent, with what to do; or that it takes writes again."""
    if spell is None:
        log.info("Redis takes writes again", seconds=round(seconds, 1))
    else:
        log.warning("waiting for Redis", reason=spell.message, next=spell.next)


def leave_quietly(_number: int, _frame: FrameType | None) -> None:
    """Ends the process."""
    sys.exit(0)
