"""A model of a worker: processes that share the cores, each with threads that share one interpreter lock.

A discrete simulation. docs/benchmarks.md compares it with measurements; docs/scaling.md uses it for sizes that cannot
be measured here. `python -m bench.model CPU_MS` prints its table.
"""

from __future__ import annotations

import heapq
import random
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: Requests to S3 before a call and after it.
BEFORE, AFTER = 2, 2
#: The share of a job's CPU that comes before its call.
FIRST = 0.5


@dataclass(frozen=True)
class Worker:
    """A worker's size, and the seconds of its calls, of its CPU a job, and of requests to S3."""

    concurrency: int
    processes: int
    cores: int
    latency: float
    cpu: float
    s3: float = 0.0
    jitter: float = 0.0
    """The share by which calls may take less or more."""

    @property
    def threads(self) -> int:
        """Threads of each process: one a call in flight, and those beside them (config/celery_app.py)."""
        share = self.concurrency // self.processes
        return share + max(4, share // 4)


def rate(worker: Worker) -> float:
    """Jobs a second in the middle of a run."""
    starts = sorted(_calls(worker, 4000, random.Random(1)))
    early, late = len(starts) // 4, len(starts) * 3 // 4
    return (late - early) / (starts[late] - starts[early])


def efficiency(worker: Worker) -> float:
    """The share of its possible calls in flight that is used."""
    return min(1.0, rate(worker) * worker.latency / worker.concurrency)


def _calls(worker: Worker, jobs: int, source: random.Random) -> Iterator[float]:
    """When each call begins."""
    run = Simulation(worker, jobs, source)
    for process in range(worker.processes):
        for _ in range(worker.threads):
            run.begin(0.0, process)
    while run.events:
        yield from run.step()


class Simulation:
    """A process computes one job at a time, and no more processes compute at a time than there are cores."""

    def __init__(self, worker: Worker, jobs: int, source: random.Random) -> None:
        self.worker, self.left, self.source = worker, jobs, source
        self.events: list[tuple[float, int, int, str]] = []
        self.ready = [deque[str]() for _ in range(worker.processes)]
        self.free = [worker.concurrency // worker.processes] * worker.processes
        self.waiting = [0] * worker.processes
        self.computing: set[int] = set()
        self.number = 0

    def later(self, at: float, process: int, what: str) -> None:
        """Schedules an event."""
        self.number += 1
        heapq.heappush(self.events, (at, self.number, process, what))

    def begin(self, now: float, process: int) -> None:
        """A thread takes the next job."""
        if self.left > 0:
            self.left -= 1
            self.later(now + BEFORE * self.worker.s3, process, "fetched")

    def step(self) -> Iterator[float]:
        """Handles the next event; yields the times of the calls that begin by it."""
        now, _, process, what = heapq.heappop(self.events)
        match what:
            case "fetched":
                self.ready[process].append(what)
            case "prepared":
                self.computing.discard(process)
                self.waiting[process] += 1
            case "answered":
                self.free[process] += 1
                self.ready[process].append(what)
            case "stored":
                self.computing.discard(process)
                self.begin(now + AFTER * self.worker.s3, process)
        while self.waiting[process] and self.free[process]:
            self.waiting[process] -= 1
            self.free[process] -= 1
            yield now
            spread = 1 + self.worker.jitter * self.source.uniform(-1, 1)
            self.later(now + self.worker.latency * spread, process, "answered")
        self.compute(now, process)

    def compute(self, now: float, process: int) -> None:
        """Starts computing in every process that has work, as far as there are cores."""
        for other in (process, *range(self.worker.processes)):
            if self.ready[other] and other not in self.computing and len(self.computing) < self.worker.cores:
                self.computing.add(other)
                first = self.ready[other].popleft() == "fetched"
                part = FIRST if first else 1 - FIRST
                self.later(now + self.worker.cpu * part, other, "prepared" if first else "stored")


def table(cpu_ms: float) -> Iterable[str]:
    """Calls in flight, processes and cores for the API's own 8 s, as lines of a page."""
    yield "| calls in flight | cores | processes | calls of | jobs a second | efficiency |"
    yield "|---|---|---|---|---|---|"
    for concurrency, cores, latency in (
        (8, 1, 8.0), (64, 1, 8.0), (256, 1, 8.0), (500, 1, 8.0), (1000, 2, 8.0), (2000, 4, 8.0), (4000, 8, 8.0),
        (64, 2, 1.0), (256, 2, 2.0), (512, 2, 2.0),
    ):  # fmt: skip
        processes = max(1, min(cores, concurrency // 32))
        worker = Worker(concurrency, processes, cores, latency, cpu_ms / 1000, s3=0.02, jitter=0.2)
        used = efficiency(worker)
        jobs = used * concurrency / latency
        yield f"| {concurrency:,} | {cores} | {processes} | {latency:g} s | {jobs:,.1f} | {used:.3f} |"


if __name__ == "__main__":
    print("\n".join(table(float(sys.argv[1]))))  # noqa: T201 - its answer
