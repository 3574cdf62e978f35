"""Workers under a supervisor, as a platform runs them: what dies is started again."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.command import Command
from tests.support.servers import die_with_parent


class Supervised:
    """One worker process at a time."""

    def __init__(self, command: Command, log: Path) -> None:
        """Starts it."""
        self._command = command
        self._log = log
        self._over = threading.Event()
        self.process = self._start()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def freeze(self) -> subprocess.Popen[bytes]:
        """SIGSTOP, so that what it holds can be counted before it is killed."""
        self.process.send_signal(signal.SIGSTOP)
        return self.process

    def kill(self) -> None:
        """Kill -9; another one comes."""
        self.process.kill()

    def terminate(self) -> None:
        """SIGTERM; another one comes once it has drained."""
        self.process.terminate()

    def upgrade(self, command: Command) -> None:
        """SIGTERM; the one that comes once it has drained is of another installation, or has other settings."""
        self._command = command
        self.process.terminate()

    def stop(self) -> None:
        """Ends it for good."""
        self._over.set()
        self._thread.join(10)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        python = str(self._command.programs / "python")
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [python, "-m", "celery", "-A", "workers.main", "worker"], cwd=self._command.folder,
                env=self._command.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks to end with this process
            )  # fmt: skip

    def _keep(self) -> None:
        while not self._over.wait(0.1):
            if self.process.poll() is not None:
                self.process = self._start()


@contextmanager
def supervised(command: Command, count: int) -> Iterator[list[Supervised]]:
    """Several workers, each with its supervisor."""
    workers = [Supervised(command, command.folder / f"supervised-{number}.log") for number in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()
