"""`python -m workers.supervisor N`: N worker processes that share the calls in flight; one that dies is started again.

Imports nothing that costs memory. SIGTERM and SIGINT are passed on to every process, which drains; a second one ends
them at once. SIGHUP (its terminal was closed) counts as SIGTERM. Where the supervisor itself is killed, the system
sends SIGTERM to its processes (Linux), which drain.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

#: Seconds that a process must live to count as started: one that dies sooner at first would only die again.
STARTED = 10.0
#: Seconds until the next start of a process that died; doubled, up to the last, where it dies soon again.
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0


def share(concurrency: int, processes: int, number: int) -> int:
    """The most calls in flight of this process, of those of all processes."""
    return concurrency // processes + (number < concurrency % processes)


def own_address(env: Mapping[str, str], number: int) -> dict[str, str]:
    """The health address of this process: RESTYLE_HEALTH_ADDRESS for the first, the ports after it for the others."""
    host, _, port = env.get("RESTYLE_HEALTH_ADDRESS", "").rpartition(":")
    return {"RESTYLE_HEALTH_ADDRESS": f"{host}:{int(port) + number}"} if port.isdigit() and int(port) else {}


class Child:
    """One worker process, which is started again whenever it dies."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._wait = FIRST_WAIT
        self._due = 0.0
        self._has_started = False
        self.start()

    def start(self) -> None:
        """Starts it, out of reach of the terminal's Ctrl-C: the supervisor passes signals on, each once."""
        self.began = time.monotonic()
        self.process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-P", "-m", "workers.main"], env=self._env,
            start_new_session=True, preexec_fn=_drain_with_parent,  # noqa: PLW1509 - this process has one thread
        )  # fmt: skip

    def mind(self) -> int | None:
        """Starts it again where it has died; returns its exit code where it never started properly."""
        now = time.monotonic()
        lived = now - self.began >= STARTED
        self._has_started = self._has_started or lived
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return None
            if not self._has_started and code > 0:
                return code
            self._wait = FIRST_WAIT if lived else min(2 * self._wait, LONGEST_WAIT)
            self._due, self.process = now + self._wait, None
            how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            print(f"restyle: a worker process {how}; it is started again", file=sys.stderr, flush=True)  # noqa: T201 - there is no log yet
        elif now >= self._due:
            self.start()
        return None

    def signal(self, number: int) -> None:
        """Sends it a signal, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None


def supervise(processes: int, concurrency: int, env: Mapping[str, str]) -> int:
    """Runs the processes until signals end them, or one cannot start at all; returns the exit code."""
    signals = Signals()
    children = [
        Child({**env, **own_address(env, number), "RESTYLE_CONCURRENCY": str(share(concurrency, processes, number))})
        for number in range(processes)
    ]
    code: int | None = None
    while True:
        for number in signals.to_send():
            code = code or 0
            _tell(children, number)
        if code is None:
            code = next((ended for child in children if (ended := child.mind()) is not None), None)
            if code is not None:
                _tell(children, signal.SIGTERM)
        elif not any(child.is_alive for child in children):
            return code
        time.sleep(0.1)


class Signals:
    """The signals to pass on for those that came.

    SIGHUP counts as SIGTERM. Together with another signal it counts once: shells send it again to what they have
    started, and the end of a session sends SIGTERM too.
    """

    def __init__(self) -> None:
        self._received: list[int] = []
        self._is_stopping = self._is_hung_up = False
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(name, lambda number, _frame: self._received.append(number))
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(signal.SIGHUP, lambda number, _frame: self._received.append(number))

    def to_send(self) -> Iterator[int]:
        """The signals to pass on, each once."""
        while self._received:
            number = self._received.pop(0)
            if number == signal.SIGHUP:
                if not self._is_stopping:
                    self._is_hung_up = self._is_stopping = True
                    yield signal.SIGTERM
            elif self._is_hung_up:
                self._is_hung_up = False
            else:
                self._is_stopping = True
                yield number


def _tell(children: list[Child], number: int) -> None:
    for child in children:
        child.signal(number)


def _drain_with_parent() -> None:
    """Has the system send SIGTERM where the supervisor is gone (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(supervise(int(sys.argv[1]), int(os.environ["RESTYLE_CONCURRENCY"]), os.environ))
