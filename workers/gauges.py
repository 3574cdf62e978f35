"""The fleet's gauges, read from Redis at each scrape: runs, credits, workers, suspension, queues.

Every process that is scraped gives the same figures, so that they are known while no worker runs: take the maximum
over instances, not the sum. A run's jobs come from one read of its hash, so they add up in every scrape.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import structlog
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from config.celery_app import QUEUES, RUNS
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.periods import Periods
from restyle.coordination.redis import server as redis_server
from restyle.coordination.redis.client import State
from restyle.coordination.runs.firings import Firings
from restyle.coordination.runs.progress import Progress
from restyle.coordination.runs.registry import Totals, legible
from restyle.errors import RestyleError, StateUnavailable
from restyle.models import RunStatus

log = structlog.get_logger("restyle.health")

#: Seconds for which the last figures of an ended run are shown, so that a scrape catches them.
SHOWN_AFTER_END = 600.0

#: A family's name, its labels' values, and the figure.
Figure = tuple[str, list[str], float]

FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "restyle_redis_up": ("1 where Redis answered this scrape; without it the fleet's figures are missing.", ()),
    "restyle_redis_writable": ("1 where Redis takes writes; 0 where it refuses them: nothing begins then.", ()),
    "restyle_redis_memory_used_bytes": ("Memory that Redis uses, where it tells.", ()),
    "restyle_redis_memory_max_bytes": ("Memory that Redis may use (maxmemory), where it tells and has a limit.", ()),
    "restyle_redis_evicts": ("1 where Redis may forget keys (maxmemory-policy): calls may be paid for twice.", ()),
    "restyle_run_planned_jobs": ("Jobs of each unfinished run, and of runs that ended minutes ago.", ("run",)),
    "restyle_run_jobs": ("The same by how they stand; the four add up to the planned ones.", ("run", "outcome")),
    "restyle_run_attempts": ("Calls of the API for ended jobs of a run.", ("run",)),
    "restyle_run_in_doubt": ("Calls of a run whose answer was lost: perhaps paid for.", ("run",)),
    "restyle_run_credits": ("Credits that a run has spent.", ("run",)),
    "restyle_run_suspended": ("1 for each reason for which a run stands still by itself.", ("run", "reason")),
    "restyle_run_stuck": ("1 for each run that cannot be moved; `restyle status` says why.", ("run",)),
    "restyle_pending_jobs": ("Jobs without an outcome of all unfinished runs: scale the workers by it.", ()),
    "restyle_open_runs": ("Unfinished runs, and schedules' firings not planned yet: any needs a worker.", ()),
    "restyle_suspended": ("1 for each reason for which the whole fleet stands still.", ("reason",)),
    "restyle_credits_left": ("Credits on the account, by the last answer that gave them.", ()),
    "restyle_credits_reserved": ("Credits set aside for calls in flight.", ()),
    "restyle_credits_spent": ("Credits that all runs have spent today, and this month.", ("period",)),
    "restyle_queue_messages": ("Messages that wait on a queue.", ("queue",)),
    "restyle_workers": ("Worker processes whose heartbeat is fresh.", ()),
    "restyle_workers_out": ("Of these, the ones that stand aside since they alone are in trouble.", ()),
    "restyle_in_flight": ("Calls of the API that are out, by the workers' heartbeats.", ()),
    "restyle_slots": ("Calls that all workers in rotation together can have out.", ()),
}


class Gauges(Collector):
    """Reads the fleet's figures; where Redis is away, restyle_redis_up is 0 and nothing else is given."""

    def __init__(self, state: State, limits: Limits, *, account: str | None) -> None:
        """With `account` None, the figures are of the account that the workers use."""
        self._state = state
        self._limits = limits
        self._account = account
        #: Runs that were seen unfinished, and when they were last.
        self._seen: dict[str, float] = {}

    def describe(self) -> Iterable[Metric]:
        """The families without figures, so that registering does not need Redis."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """The figures as of now."""
        families = _families()
        try:
            for name, labels, value in self._figures():
                families[name].add_metric(labels, value)
            families["restyle_redis_up"].add_metric([], 1)
        except RestyleError as error:
            log.warning("a scrape without Redis", reason=error.message)
            families = {"restyle_redis_up": _families()["restyle_redis_up"]}
            families["restyle_redis_up"].add_metric([], 0)
        return families.values()

    def _figures(self) -> list[Figure]:
        state, progress = self._state, Progress(self._state)
        account = self._account or str(state.ask("GET", state.key("account")) or "")
        fleet = Fleet(state.of_account(account), self._limits)
        return [*_redis(state), *self._runs(progress), *_credits(fleet), *_workers(fleet), *_queues(state)]

    def _runs(self, progress: Progress) -> Iterator[Figure]:
        unfinished, now, pending = set(progress.unfinished()), time.monotonic(), 0
        self._seen |= dict.fromkeys(unfinished, now)
        self._seen = {run: seen for run, seen in self._seen.items() if now - seen < SHOWN_AFTER_END}
        for run in sorted(self._seen):
            totals = legible(progress.state.ask("HGETALL", progress.state.key("run", run)))
            if totals is None:
                continue
            yield from _ledger(run, totals)
            if run in unfinished:
                pending += totals.pending if totals.status is not RunStatus.CANCELLED else 0
                for standing in progress.suspensions(run):
                    yield "restyle_run_suspended", [run, standing.reason], 1
        for run in progress.troubles():
            yield "restyle_run_stuck", [run], 1
        yield "restyle_pending_jobs", [], pending
        yield "restyle_open_runs", [], len(unfinished) + len(Firings(progress.state).waiting())


def _redis(state: State) -> Iterator[Figure]:
    try:
        state.check_writes()
        yield "restyle_redis_writable", [], 1
    except StateUnavailable as error:
        if not error.refusal:
            raise
        yield "restyle_redis_writable", [], 0
    memory = redis_server.memory(state)
    if memory.used:
        yield "restyle_redis_memory_used_bytes", [], memory.used
    if memory.most:
        yield "restyle_redis_memory_max_bytes", [], memory.most
    if memory.policy:
        yield "restyle_redis_evicts", [], memory.evicts


def _credits(fleet: Fleet) -> Iterator[Figure]:
    state = fleet.state
    for standing in fleet.standing():
        yield "restyle_suspended", [standing.reason], 1
    left = fleet.credits_left()
    if left is not None:
        yield "restyle_credits_left", [], left
    yield "restyle_credits_reserved", [], float(state.ask("GET", state.key("reserved")) or 0)
    for name, period in zip(("day", "month"), Periods(state).names(fleet.limits.budgets), strict=True):
        yield "restyle_credits_spent", [name], float(state.ask("GET", state.key("spent", period)) or 0)


def _workers(fleet: Fleet) -> Iterator[Figure]:
    living: list[dict[str, Any]] = [beat for beat in fleet.workers().values() if beat is not None]
    working = [beat for beat in living if not beat.get("draining") and not beat.get("out")]
    yield "restyle_workers", [], len(living)
    yield "restyle_workers_out", [], sum(1 for beat in living if beat.get("out"))
    yield "restyle_in_flight", [], sum(beat.get("in_flight", 0) for beat in living)
    yield "restyle_slots", [], sum(beat.get("concurrency", 0) for beat in working)


def _queues(state: State) -> Iterator[Figure]:
    queues = {"runs": RUNS, **QUEUES}
    lengths = state.ask_all(*(("LLEN", state.key(queue)) for queue in queues.values()))
    yield from (("restyle_queue_messages", [name], length) for name, length in zip(queues, lengths, strict=True))


def _ledger(run: str, totals: Totals) -> Iterator[Figure]:
    """A run's figures, all from one read."""
    yield "restyle_run_planned_jobs", [run], totals.planned
    for outcome in ("succeeded", "skipped", "failed", "pending"):
        yield "restyle_run_jobs", [run, outcome], getattr(totals, outcome)
    yield "restyle_run_attempts", [run], totals.attempts
    yield "restyle_run_in_doubt", [run], totals.in_doubt
    yield "restyle_run_credits", [run], totals.credits


def _families() -> dict[str, GaugeMetricFamily]:
    return {name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in FAMILIES.items()}
