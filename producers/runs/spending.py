"""What runs have cost, by day, schedule, variant, label or run: from S3 alone, so that nothing is lost with Redis.

A closed shard's results say what its pictures cost, and its ledger what was counted as spent in all
(producers/dispatch/ledger.py). What lies between the two is in doubt: calls whose answers were lost, at the price that
budgets set aside for them. Of a pruned run its report takes the place of the results.
"""

from __future__ import annotations

import json
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import TypeVar

from producers.dispatch.ledger import read_ledger
from producers.runs.outcomes import read_results
from producers.runs.recovery.unread import unread
from restyle.coordination.periods import names_of
from restyle.errors import RestyleError, RunUnreadable
from restyle.keys import Workspace
from restyle.models import ENDED, OutcomeKind, Run
from restyle.s3.store import Store

#: Runs that are read at a time, and runs that are requested before the first of them is counted.
_AT_ONCE, _AHEAD = 8, 32
#: Credits below which a difference of two sums is their rounding.
_NOTHING = 1e-4
#: The group of what has no schedule, label or variant.
NONE = "(none)"


class By(StrEnum):
    """What costs are counted by."""

    DAY = "day"
    MONTH = "month"
    SCHEDULE = "schedule"
    VARIANT = "variant"
    LABEL = "label"
    RUN = "run"


@dataclass
class Cost:
    """What something has cost."""

    pictures: int = 0
    credits: float = 0.0
    #: Credits beside those: of calls that may have been billed, and whose answers were lost.
    in_doubt: float = 0.0

    def add(self, other: Cost) -> None:
        """Adds another one."""
        self.pictures += other.pictures
        self.credits += other.credits
        self.in_doubt += other.in_doubt


Key = TypeVar("Key")

#: What a run has cost, by day and variant.
Costs = Mapping[tuple[str, str], Cost]


@dataclass
class Spending:
    """What the runs that were looked at have cost."""

    groups: dict[str, Cost] = field(default_factory=lambda: defaultdict(Cost))
    #: Each credit once, also where a run has several labels.
    total: Cost = field(default_factory=Cost)
    #: Runs that have not ended: what their open shards have cost is in neither.
    under_way: list[str] = field(default_factory=list)
    #: Runs of which something cannot be read, and why.
    unread: dict[str, str] = field(default_factory=dict)


def spending(runs: Iterable[Run], by: By, *, store: Store, workspace: Workspace, zone: str, since: str) -> Spending:
    """What runs have cost.

    Args:
        runs: the runs, read one after the other.
        by: what it is counted by.
        store: S3.
        workspace: where they lie.
        zone: the time zone whose days are meant.
        since: the first day that counts, like 2026-01-31; empty: all do.
    """
    spent, runs = Spending(), iter(runs)

    def costs(run: Run) -> Costs | RestyleError:
        try:
            return costs_of(run, store=store, workspace=workspace, zone=zone)
        except RestyleError as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while batch := list(islice(runs, _AHEAD)):
            for run, result in zip(batch, pool.map(costs, batch), strict=True):
                if run.status not in ENDED:
                    spent.under_way.append(run.run_id)
                if isinstance(result, RestyleError):
                    spent.unread[run.run_id] = result.message
                    continue
                for (day, variant), cost in result.items():
                    if day >= since:
                        spent.total.add(cost)
                        for name in _groups(run, by, day, variant):
                            spent.groups[name].add(cost)
    return spent


def _groups(run: Run, by: By, day: str, variant: str) -> Iterable[str]:
    """The groups that a part of a run's cost is counted in."""
    match by:
        case By.DAY:
            return (day,)
        case By.MONTH:
            return (day[:7],)
        case By.SCHEDULE:
            return (run.schedule or NONE,)
        case By.VARIANT:
            return (variant or NONE,)
        case By.LABEL:
            return [f"{name}={value}" for name, value in run.labels.items()] or (NONE,)
        case By.RUN:
            return (f"{run.run_id} {run.title}".rstrip(),)


# -- one run -------------------------------------------------------------------------------------------------


def costs_of(run: Run, *, store: Store, workspace: Workspace, zone: str) -> Costs:
    """What the closed shards of a run have cost.

    Raises:
        RunUnreadable: a shard of it is damaged.
        StoreUnavailable, StoreAccessDenied: S3 does not tell.
    """
    costs: dict[tuple[str, str], Cost] = defaultdict(Cost)
    ledger = read_ledger(run.run_id, store, workspace)
    closed = {
        int(name) for listed in store.list(workspace.run(run.run_id, "results") + "/")
        if (name := posixpath.basename(listed.uri).partition(".")[0]).isdigit()
    }  # fmt: skip
    # A prune that was cut off has left some of them, which are not all that the run has cost.
    if run.finished and (not closed or (ledger.opened | ledger.spent.keys()) - closed):
        return _costs_of_report(run, ledger.by_day, zone, store, workspace)
    unreadable = _unreadable(run, store, workspace)
    for shard in sorted(closed):
        for key, cost in _costs_of_shard(
            run, shard, ledger.spent.get(shard, {}), unreadable, store=store, workspace=workspace, zone=zone
        ).items():
            costs[key].add(cost)
    return costs


def _unreadable(run: Run, store: Store, workspace: Workspace) -> Mapping[str, float]:
    """What answers of a run cost in which no picture was found, by job."""
    notes = unread(run.run_id, store, workspace)
    return {job_id: sum(note.cost or 0.0 for note in of_job) for job_id, of_job in notes.items()}


def _costs_of_shard(
    run: Run, shard: int, spent: Mapping[str, float], unreadable: Mapping[str, float], *, store: Store,
    workspace: Workspace, zone: str,
) -> Costs:  # fmt: skip
    """What a closed shard has cost: its pictures by their outcomes, and what the ledger has beyond those."""
    costs: dict[tuple[str, str], Cost] = defaultdict(Cost)
    doubts: dict[tuple[str, str], int] = defaultdict(int)
    # All of a shard that was done within a day counts on the day that budgets counted it on.
    only_day = next(iter(spent)) if len(spent) == 1 else ""
    for job, outcome in read_results(store, workspace, run.run_id, shard):
        ended = outcome.ended if outcome else None
        key = only_day or names_of(ended or run.created, zone)[0], job.variant
        if outcome and outcome.outcome is OutcomeKind.SUCCEEDED:
            costs[key].add(Cost(pictures=1, credits=outcome.credits))
        if outcome and outcome.in_doubt:
            doubts[key] += outcome.in_doubt
        if unreadable:
            costs[key].credits += unreadable.get(workspace.job_id(job.id, job.variant), 0.0)
    beyond = sum(spent.values()) - sum(cost.credits for cost in costs.values())
    if beyond > _NOTHING:
        last = (max(spent), "")
        for key, share in _shares(doubts or {last: 1}):
            costs[key].in_doubt += beyond * share
    return costs


def _costs_of_report(run: Run, by_day: Mapping[str, float], zone: str, store: Store, workspace: Workspace) -> Costs:
    """What a pruned run has cost, by its report; on the days that its ledger has."""
    costs: dict[tuple[str, str], Cost] = defaultdict(Cost)
    uri = workspace.run(run.run_id, "report.json")
    report = store.find(uri)
    days = dict(_shares(by_day or {names_of(run.created, zone)[0]: 1.0}))
    try:
        variants = json.loads(report.data)["variants"] if report else {}
        tallies = {str(name): (int(sums["succeeded"]), float(sums["credits"])) for name, sums in variants.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunUnreadable(f"{uri} is no report: {type(error).__name__}") from None
    for variant, (pictures, credits) in tallies.items():
        for place, (day, share) in enumerate(days.items()):
            # Pictures are whole: they count on the first of its days.
            costs[day, variant].add(Cost(0 if place else pictures, credits * share))
    beyond = sum(by_day.values()) - sum(cost.credits for cost in costs.values())
    if beyond > _NOTHING:
        for day, share in days.items():
            costs[day, ""].in_doubt += beyond * share
    return costs


def _shares(parts: Mapping[Key, float]) -> Iterator[tuple[Key, float]]:
    """Each part's share of all."""
    whole = sum(parts.values()) or 1.0
    return ((key, part / whole) for key, part in parts.items())
