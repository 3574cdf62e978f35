"""A Redis whose scripts go by a clock of the test's own: hours pass at once, and a clock may be set back."""

from __future__ import annotations

from typing import Any

from restyle.coordination.redis.client import State
from restyle.coordination.redis.scripts import Argument, signatures, texts
from tests.support.holding import hold

#: What the scripts take the time from, and what a test gives them in its place.
_ITS_OWN = "local function now_ms()"
_OURS = """
local function now_ms()
  local step = tonumber(redis.call('GET', 'timelapse:step') or 0)
  return tonumber(redis.call('INCRBY', 'timelapse:now', step))
end
local function server_ms()"""


class Timelapse(State):
    """Runs the scripts as they are, but for their clock, which stands still or takes a step at each look."""

    def __init__(self, url: str, *, namespace: str, account: str, now: float = 1e9, step: int = 0) -> None:
        """Unix seconds, and milliseconds a look."""
        super().__init__(url, namespace=namespace, account=account)
        self._loaded: dict[str, str] = {}
        #: How often anything was asked of Redis.
        self.asked = 0
        self.ask("SET", "timelapse:step", step)
        self.set(now)
        hold(self)

    def run(self, script: str, /, **arguments: Argument) -> Any:
        """Runs a script with the arguments that it declares."""
        if script not in self._loaded:
            assert _ITS_OWN in texts()[script]
            self._loaded[script] = self.ask("SCRIPT LOAD", texts()[script].replace(_ITS_OWN, _OURS))
        values = signatures()[script].values(arguments)
        return self.ask("EVALSHA", self._loaded[script], 0, self.namespace, self.account, *values)

    def ask(self, command: str, *args: str | float) -> Any:
        """One plain command."""
        self.asked += 1
        return super().ask(command, *args)

    def set(self, now: float) -> None:
        """Sets the clock."""
        self.ask("SET", "timelapse:now", round(now * 1000))

    def go(self, seconds: float) -> None:
        """Lets time pass, or with less than nothing sets the clock back."""
        self.ask("INCRBY", "timelapse:now", round(seconds * 1000))

    def flush(self) -> None:
        """Redis loses everything but the time."""
        now, step = self.ask("MGET", "timelapse:now", "timelapse:step")
        self.ask("FLUSHALL")
        self.ask("MSET", "timelapse:now", now, "timelapse:step", step)
        hold(self)

    def clock(self) -> float:
        """What the scripts' clock says."""
        return self.now

    @property
    def now(self) -> float:
        """What the scripts' clock says."""
        return int(self.ask("GET", "timelapse:now")) / 1000
