"""Approving some variants of a run that waits: it ends, and what is left of them goes on in a new run."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from apps.session import Session
from producers.planning.plan import Plan
from producers.planning.retry import Slice, plan_retry
from producers.planning.shards import write_shards
from producers.runs.statistics import PENDING
from restyle.coordination.redis.hints import read_number
from restyle.errors import ConfigurationError
from restyle.models import ENDED, Run

#: Two who press at once: the second finds the run ended.
_ONE_AT_A_TIME = threading.Lock()


def pending_by_variant(here: Session, run: Run) -> Counter[str]:
    """How many jobs of each variant have no outcome yet."""
    return Counter(job.variant for job, outcome in here.rows(run)() if outcome is None)


def plan_of_part(here: Session, run: Run, variants: Collection[str]) -> Plan:
    """What is left of these variants, under the run's limits: what is left of its budget, its deadline, its brakes.

    Raises:
        ConfigurationError: it waits for no approval, has nothing left of a variant, or has spent its budget.
    """
    waits = "awaiting_approval" in {standing.reason for standing in here.progress.suspensions(run.run_id)}
    if run.status in ENDED or not waits:
        raise ConfigurationError(f"run {run.run_id} waits for no approval; it is {run.status.value}")
    left = pending_by_variant(here, run)
    if unknown := sorted(set(variants) - left.keys()):
        there = ", ".join(f"{name} ({count:,})" for name, count in sorted(left.items())[:20]) or "none"
        raise ConfigurationError(f"nothing is left of variant {', '.join(unknown)[:200]}; of these there is: {there}")
    plan = plan_retry(
        run, here.rows(run), Slice(frozenset({PENDING}), variants=frozenset(variants)), here.settings,
        workspace=here.workspace, store=here.store,
    )  # fmt: skip
    budget = round(run.budget - _spent(here, run), 6) if run.budget else None
    if budget is not None and budget <= 0:
        raise ConfigurationError(f"run {run.run_id} has spent its budget of {run.budget:,.2f} credits")
    brakes = {name: getattr(run.options, name) for name in ("max_failures", "max_suspects")}
    return replace(
        plan, request=replace(plan.request, budget=budget, finish_by=run.finish_by), notify=run.notify,
        options=plan.options.model_copy(update=brakes), wait_credits=run.wait_credits,
    )  # fmt: skip


def _spent(here: Session, run: Run) -> float:
    """What the run has cost, with calls that were lost or are out at their estimates, as its budget counts them."""
    state = here.state
    texts = state.ask("HMGET", state.key("run", run.run_id), "credits", "lost", "reserved")
    return sum(max(0.0, read_number(text) or 0.0) for text in texts)


def approve_in_part(here: Session, run: Run, variants: Collection[str], by: str) -> Run:
    """Ends the run, so that nothing else of it is paid for, and starts what is left of these variants.

    Where it breaks off in between, the run has ended, and nothing goes on: `restyle retry RUN --status pending` does.

    Raises:
        ConfigurationError: as of `plan_of_part`.
        AlreadyEnded: somebody has ended it meanwhile.
    """
    control = replace(here.control, by=by)
    with _ONE_AT_A_TIME:
        control.hold()
        plan = plan_of_part(here, here.read(run.run_id), variants)
        control.cancel(run.run_id, what="rejected")
        part = write_shards(
            plan, workspace=here.workspace, store=here.store, shard_jobs=here.settings.shard_jobs, by=by
        )
        control.submit(part, here.feeder)
        control.note(run.run_id, "approved in part", f"{', '.join(sorted(variants))}, by run {part.run_id}")
    return part
