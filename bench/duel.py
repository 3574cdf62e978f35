"""Measures one contender in one setting."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.arena import Arena, wait_until
from bench.contenders import CONTENDERS
from bench.usage import Peak, usage


@dataclass(frozen=True)
class Setting:
    """A setting: calls in flight, seconds of a call, seconds of each S3 request, jobs, processes."""

    concurrency: int
    latency: float
    jobs: int
    s3_latency: float = 0.0
    processes: int = 2


@dataclass(frozen=True)
class Figures:
    """The figures of one run."""

    contender: str
    setting: Setting
    cpu_ms: float
    """CPU an image: user and system of the worker's processes."""
    efficiency: float
    """N * L / (C * wall), from the first call to the last write."""
    steady: float
    """The same in the middle of the run: L over the mean time between a slot's calls."""
    images_a_second: float
    rss_mb: float
    processes: int
    calls_a_job: float
    server_cpu_ms: float
    """CPU an image of both fakes, which counts for no contender."""
    redis_bytes_a_job: float


def run(name: str, setting: Setting, arena: Arena) -> Figures:
    """Starts the contender, warms it up, gives it the jobs and measures until the last record is written."""
    arena.empty()
    contender = CONTENDERS[name](arena, setting.concurrency, setting.processes)
    warm = max(100, setting.concurrency)
    contender.start()
    try:
        contender.give(10_000_000, 10_000_000 + warm)
        finished(arena, warm, 120)
        wait_until(contender.settled, f"{name}'s report of the first jobs", 60)
        time.sleep(1.0)  # what follows the last write: acknowledgements
        arena.api.set(setting.latency)
        arena.s3.set(setting.s3_latency)
        before, servers = usage(contender.pid), server_cpu(arena)
        peak = Peak(contender.pid)
        peak.start()
        contender.give(0, setting.jobs)
        queued = arena.redis.info("memory")["used_memory_dataset"]
        ideal = setting.jobs * setting.latency / setting.concurrency
        finished(arena, setting.jobs, 120 + 6 * ideal)
        time.sleep(0.2)
        after = usage(contender.pid)
        peak.stop()
        served = server_cpu(arena) - servers
        calls = arena.api.stats(starts=True)
        wall = arena.s3.stats()["last"] - calls["starts"][0]
    finally:
        contender.stop()
    return Figures(
        contender=name,
        setting=setting,
        cpu_ms=(after.cpu - before.cpu) * 1000 / setting.jobs,
        efficiency=setting.jobs * setting.latency / (setting.concurrency * wall),
        steady=steady(calls["starts"], setting),
        images_a_second=setting.jobs / wall,
        rss_mb=peak.rss / 1e6,
        processes=peak.processes,
        calls_a_job=calls["counts"].get("calls", 0) / setting.jobs,
        server_cpu_ms=served * 1000 / setting.jobs,
        redis_bytes_a_job=queued / setting.jobs,
    )


def finished(arena: Arena, jobs: int, timeout: float) -> None:
    """Waits for the last record."""
    wait_until(lambda: arena.s3.stats()["counts"].get("PUT record", 0) >= jobs, f"{jobs} records", timeout, 0.2)


def server_cpu(arena: Arena) -> float:
    """Seconds of CPU that the fakes have used."""
    return float(arena.api.stats()["cpu"] + arena.s3.stats()["cpu"])


def steady(starts: list[float], setting: Setting) -> float:
    """Efficiency in the middle of a run: what a long one would have."""
    if not setting.latency:
        return 0.0
    starts = sorted(starts)
    width = setting.concurrency
    low, high = len(starts) // 4, len(starts) * 3 // 4
    gaps = [starts[place + width] - starts[place] for place in range(low, high) if place + width < len(starts)]
    return setting.latency / (sum(gaps) / len(gaps)) if gaps else 0.0
