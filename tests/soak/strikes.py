"""What is done to the fleet in turn, one thing after the other, and what each may cost."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.acceptance.chaos import as_it_is, odd
from tests.acceptance.conftest import FleetOf
from tests.soak.keys import Rotating
from tests.support.command import Command
from tests.support.gateway import Gateway, each_ninth, throttles_each_third
from tests.support.servers import Valkey
from tests.support.supervised import Supervised


@dataclass
class Strikes:
    """In turn, for as long as the soak lasts."""

    fleet: FleetOf
    #: The workers that are struck, and what each may be started by.
    workers: list[Supervised]
    installations: list[Command]
    valkey: Valkey
    gateway: Gateway
    keys: Rotating
    #: Calls that were out when their worker was killed: these alone may be paid for twice.
    excused: int = 0
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._turns: Iterator[Callable[[], str]] = itertools.cycle((
            self._kill, self._odd_gateway, self._drain, self._restart_redis, self._upgrade, self._throttle,
            self._kill, self._rotate, self._cut, self._upgrade,
        ))  # fmt: skip
        self._commands = itertools.cycle(self.installations)
        self._chosen = itertools.cycle(self.workers)

    def strike(self) -> str:
        """The next one; which it was."""
        name = next(self._turns)()
        self.done[name] += 1
        return name

    def _kill(self) -> str:
        worker = next(self._chosen)
        process = worker.freeze()
        self.excused += len(self.fleet.calling(process.pid))
        worker.kill()
        return "worker killed"

    def _drain(self) -> str:
        next(self._chosen).terminate()
        return "worker stopped"

    def _upgrade(self) -> str:
        next(self._chosen).upgrade(next(self._commands))
        return "worker replaced by one of the other version"

    def _restart_redis(self) -> str:
        self.valkey.kill()
        time.sleep(random.uniform(0, 2))
        self.valkey.start()
        return "Redis killed and started again"

    def _rotate(self) -> str:
        self.keys.rotate()
        return "S3's credentials rotated"

    def _odd_gateway(self) -> str:
        return self._gateway_for("an odd gateway before S3", each_ninth, 5)

    def _throttle(self) -> str:
        return self._gateway_for("S3 throttling", throttles_each_third, 4)

    def _cut(self) -> str:
        return self._gateway_for("answers of S3 cut off", odd, 4)

    def _gateway_for(self, name: str, plan: Callable[[int], str], seconds: float) -> str:
        self.gateway.plan = plan
        time.sleep(seconds)
        self.gateway.plan = as_it_is
        return name
