"""What is looked at every few seconds: one worker that stays, Redis, and what S3 and the API were asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.usage import usage
from restyle.coordination.redis.client import State
from restyle.errors import StateUnavailable


@dataclass(frozen=True)
class Sample:
    """How things stood; a rate is since the sample before."""

    minutes: float
    jobs: int
    """Paid calls until then."""
    rss_mb: float
    files: int
    sockets: int
    threads: int
    redis_mb: float
    redis_keys: int
    messages: int
    """On the queue of jobs."""
    s3_a_job: float


@dataclass
class Sampler(threading.Thread):
    """Samples until it is stopped."""

    pid: int
    """The worker that stays."""
    state: State
    paid: Callable[[], int]
    s3_requests: Callable[[], int]
    every: float = 5.0
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self._began = time.monotonic()
        self._before = (0, 0)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        """A sample every few seconds; while Redis is away none."""
        while not self._over.wait(self.every):
            try:
                self.samples.append(self._sample())
            except StateUnavailable:
                continue

    def stop(self) -> list[Mapping[str, float]]:
        """Ends it; what was seen."""
        self._over.set()
        self.join()
        return [asdict(sample) for sample in self.samples]

    def _sample(self) -> Sample:
        now = usage(self.pid, sockets=True)
        memory = self.state.ask("INFO", "memory")
        keys, messages = int(self.state.ask("DBSIZE")), int(self.state.ask("LLEN", self.state.key("queue:jobs")))
        jobs, requests = self.paid(), self.s3_requests()
        more_jobs, more_requests = jobs - self._before[0], requests - self._before[1]
        if more_jobs:
            self._before = (jobs, requests)
        return Sample(
            minutes=(time.monotonic() - self._began) / 60, jobs=jobs, rss_mb=now.rss / 1e6,
            files=open_files(self.pid), sockets=now.sockets, threads=now.threads,
            redis_mb=int(memory["used_memory"]) / 1e6, redis_keys=keys, messages=messages,
            s3_a_job=more_requests / more_jobs if more_jobs else 0.0,
        )  # fmt: skip


def open_files(pid: int) -> int:
    """What a process has open, sockets included."""
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0
