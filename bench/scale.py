"""The costs of large runs: planning, feeding, a soak of many jobs in one process, a run of unchanged jobs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.arena import HERE, Arena, wait_until
from bench.commands import Cost, cost, restyle
from bench.contenders import Restyle, write_manifest
from bench.usage import usage

PROMPT = ("--prompt", "studio photo of {title} on an oak table")


def plan(arena: Arena, rows: int, *, bad: int = 0) -> Cost:
    """The cost of `restyle plan` of a CSV with that many rows, and `bad` bad ones after them."""
    manifest = arena.folder / f"rows-{rows}-{bad}.csv"
    if not manifest.exists():
        write_manifest(manifest, 0, rows)
        if bad:
            with manifest.open("a", encoding="utf-8") as file:
                for number in range(bad):
                    file.write(f"bad {number},ftp://nowhere/{number}.jpg,bad\n")
    fleet = Restyle("plan", arena, 8)
    return cost(restyle("plan", str(manifest), *PROMPT), env=fleet.env, cwd=arena.folder)


def feed(arena: Arena, jobs: int) -> dict[str, float]:
    """Plans that many jobs, and has a process of its own queue all of them: its jobs a second of CPU."""
    arena.empty()
    fleet = Restyle("feed", arena, 8, settings={"RESTYLE_WINDOW_JOBS": "1"})
    fleet.give(0, jobs)
    before = arena.redis.info("memory")["used_memory"]
    figures = answer("feed.py", jobs, fleet, arena)
    figures["bytes_a_job"] = (arena.redis.info("memory")["used_memory"] - before) / figures["jobs"]
    return figures


def breakdown(arena: Arena, jobs: int) -> dict[str, float]:
    """Milliseconds of CPU of each step of a job, measured in one thread of a process of its own."""
    arena.empty()
    fleet = Restyle("breakdown", arena, 8, settings={"RESTYLE_WINDOW_JOBS": "1"})
    fleet.give(0, jobs)
    return answer("breakdown.py", jobs, fleet, arena)


def answer(script: str, jobs: int, fleet: Restyle, arena: Arena) -> dict[str, float]:
    """The figures that a script of this folder prints; one that hangs fails the benchmark."""
    command = [sys.executable, str(HERE / script), str(jobs)]
    done = subprocess.run(
        command, env=fleet.env, cwd=arena.folder, check=True, capture_output=True, text=True, timeout=300
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@dataclass
class Curve:
    """Samples over time: seconds, jobs done, MB of memory, threads, sockets, MB and keys of Redis."""

    points: list[dict[str, float]] = field(default_factory=list)

    def of(self, name: str) -> list[float]:
        """One of its figures over time."""
        return [point[name] for point in self.points]


def soak(arena: Arena, jobs: int) -> tuple[Curve, dict[str, float]]:
    """Runs that many jobs through one process, with small pictures and no latency; samples what may grow with them."""
    arena.empty()
    fleet = Restyle("soak", arena, 16)
    fleet.start()
    curve, client, began = Curve(), arena.redis, time.monotonic()

    def sample() -> bool:
        now, done = usage(fleet.pid, sockets=True), arena.s3.stats()["counts"].get("PUT record", 0)
        curve.points.append(
            {
                "seconds": time.monotonic() - began,
                "jobs": done,
                "rss_mb": now.rss / 1e6,
                "threads": now.threads,
                "sockets": now.sockets,
                "redis_mb": client.info("memory")["used_memory"] / 1e6,
                "keys": float(client.dbsize()),
            }
        )
        return bool(done >= jobs)

    try:
        fleet.give(0, jobs)
        began = time.monotonic()
        wait_until(sample, f"{jobs} jobs", 60 + jobs / 25, every=2.0)
        wall = time.monotonic() - began
        wait_until(fleet.settled, "the report", 120)
    finally:
        fleet.stop()
    return curve, {"jobs": jobs, "wall": wall, "calls": arena.api.stats()["counts"].get("calls", 0)}


def skip(arena: Arena, jobs: int, processes: int = 2) -> dict[str, float]:
    """Submits the same jobs again, all of them done: the cost of skipping them."""
    fleet = Restyle("skip", arena, 16 * processes, processes)
    arena.api.set(0.0)
    arena.s3.set(0.0)
    fleet.start()
    try:
        before, began = usage(fleet.pid), time.monotonic()
        fleet.give(0, jobs)
        wait_until(fleet.settled, "the report", 60 + jobs / 100)
        wall = time.monotonic() - began
        after = usage(fleet.pid)
    finally:
        fleet.stop()
    used = (after.cpu - before.cpu) * 1000 / jobs
    return {"jobs": jobs, "cpu_ms": used, "wall": wall, "calls": arena.api.stats()["counts"].get("calls", 0)}


def commands(arena: Arena, times: int) -> dict[str, list[float]]:
    """CPU seconds of `restyle --help` and of `restyle status`, on a fleet that has runs."""
    fleet = Restyle("status", arena, 8)
    return {
        " ".join(words): [cost(restyle(*words), env=fleet.env, cwd=arena.folder).cpu for _ in range(times)]
        for words in (("--help",), ("status",))
    }


def beside(work: Callable[[], Any]) -> Callable[[], Any]:
    """Starts work in a thread of its own; returns a function that waits for its result."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001 - raised where the result is read
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def answer() -> Any:
        thread.join()
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    return answer
