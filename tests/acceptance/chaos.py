"""Faults drawn at random from a seed, over one run; and the account of what they may cost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from restyle.coordination.redis.client import State
from tests.acceptance.conftest import FleetOf
from tests.support.gateway import Gateway, each_ninth
from tests.support.proxy import Proxy
from tests.support.refusing import REFUSALS, refusing
from tests.support.rollback import Rollback
from tests.support.sandbox import SandboxServer
from tests.support.servers import Valkey
from tests.support.supervised import Supervised


@dataclass
class Chaos:
    """What is done to a fleet while it works on a run."""

    seed: int
    fleet: FleetOf
    workers: list[Supervised]
    valkey: Valkey
    s3: Proxy
    #: What stands between the workers and that.
    gateway: Gateway
    rollback: Rollback
    sandbox: SandboxServer
    run_id: str
    #: The Redis of somebody else, who would work in the same workspace.
    other: Valkey
    #: Calls claimed and not yet stored when their worker was killed or Redis was emptied: these alone may be repeated.
    excused: int = 0
    story: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._faults: list[Callable[[], str]] = [
            self._kill, self._kill, self._terminate, self._restart_valkey, self._empty_valkey, self._cut_s3,
            self._storm, self._spoil, self._slow, self._double, self._second_holder, self._throw_back, self._refuse,
            self._odd_gateway,
        ]  # fmt: skip

    def strike(self) -> None:
        """One fault, and a moment of peace."""
        told = self._random.choice(self._faults)()
        self.story.append(told)
        time.sleep(self._random.uniform(0.5, 3))

    # -- processes -----------------------------------------------------------------------------------------

    def _kill(self) -> str:
        worker = self._random.choice(self.workers)
        process = worker.freeze()
        self.excused += len(self.fleet.calling(process.pid))
        worker.kill()
        return "kill -9 of a worker"

    def _terminate(self) -> str:
        self._random.choice(self.workers).terminate()
        return "SIGTERM to a worker"

    # -- Redis ---------------------------------------------------------------------------------------------

    def _restart_valkey(self) -> str:
        self.valkey.kill()
        time.sleep(self._random.uniform(0, 2))
        self.valkey.start()
        return "Valkey killed and restarted"

    def _empty_valkey(self) -> str:
        processes = [worker.process for worker in self.workers]
        for process in processes:
            signal_to(process.pid, signal.SIGSTOP)
        self.excused += len(self.fleet.calling())
        self.valkey.kill()
        self.valkey.start(empty=True)
        self.rollback.forget()
        for process in processes:
            signal_to(process.pid, signal.SIGCONT)
        self.fleet.command("resume", self.run_id, "--detach", expect=None)
        return "Valkey restarted empty, and resume"

    def _throw_back(self) -> str:
        """Nothing is excused: living workers put back what was forgotten before another call is granted."""
        seconds = self._random.uniform(0.3, 2)
        time.sleep(seconds + 0.2)  # that long there must be something to go back to
        self.rollback.strike(seconds)
        return f"Valkey thrown back by {seconds:.1f} s"

    def _refuse(self) -> str:
        kind = self._random.choice(REFUSALS)
        with refusing(self.valkey, kind):
            time.sleep(self._random.uniform(0.5, 3))
        return f"Valkey refusing: {kind}"

    def _double(self) -> str:
        state = State(self.valkey.url, namespace="", account="")
        try:
            queue = self.fleet.workspace.namespace + "queue:jobs"
            if messages := state.ask("LRANGE", queue, 0, 49):
                state.ask("LPUSH", queue, *messages)
            return f"{len(messages)} messages doubled"
        finally:
            state.close()

    def _second_holder(self) -> str:
        elsewhere = self.fleet.with_settings(RESTYLE_REDIS_URL=self.other.url)
        refused = elsewhere.command("resume", self.run_id, "--detach", expect=None)
        is_held, is_over = "is held by" in refused.err, "is finished" in refused.err
        assert (refused.code, is_held or is_over) in {(3, True), (2, True)}, refused
        return "somebody else's Redis refused"

    # -- S3 and the API ------------------------------------------------------------------------------------

    def _cut_s3(self) -> str:
        self.s3.cut()
        time.sleep(self._random.uniform(0.5, 4))
        self.s3.mend()
        return "S3 cut off"

    def _odd_gateway(self) -> str:
        self.gateway.plan = odd
        time.sleep(self._random.uniform(1, 4))
        self.gateway.plan = as_it_is
        return "an odd gateway before S3"

    def _storm(self) -> str:
        return self._for_a_while("a storm of 500s", rates={"500": 0.9, "503": 0.1})

    def _spoil(self) -> str:
        rates = {"reset": 0.1, "reset_midway": 0.05, "truncated": 0.05, "garbage": 0.05, "empty": 0.05, "html": 0.05}
        return self._for_a_while("spoiled answers", rates=rates)

    def _slow(self) -> str:
        return self._for_a_while("slow answers", latency=2.5)

    def _for_a_while(self, told: str, **changes: Any) -> str:
        before = self.sandbox.counters()["options"]
        self.sandbox.control(**changes)
        time.sleep(self._random.uniform(1, 4))
        self.sandbox.control(**{name: before[name] for name in changes})
        return told


def as_it_is(_number: int) -> str:
    """A gateway that is none."""
    return ""


def odd(number: int) -> str:
    """One that does all that gateways do."""
    return "cut" if number % 11 == 0 else each_ninth(number)


def signal_to(pid: int, number: int) -> None:
    """A signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
