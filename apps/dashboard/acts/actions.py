"""The buttons: what each is called, when there is one, what it asks, and what it does."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from apps.approving import approve_in_part
from apps.dashboard.acts.orders import amount
from apps.views.moment import Moment, Row
from apps.views.overview import Side
from producers.planning.retry import Slice, plan_retry
from producers.planning.shards import write_shards
from producers.runs.control import Control
from restyle.errors import ConfigurationError

#: Of two who press a run's buttons at once the second finds what the first has done, and writes over no word of theirs.
_AT_WORK: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@dataclass(frozen=True)
class Action:
    """Something that a person can do to a run or to the fleet; the words are those of its question."""

    name: str
    label: str
    question: str
    follows: str
    done: str
    grave: bool = False


RUN_ACTIONS = {
    action.name: action
    for action in (
        Action(
            "suspend", "Suspend", "Suspend this run?",
            "No new call begins for it. Calls in flight end and are stored, and nothing is lost or paid twice.",
            "Suspended. Calls in flight end and are stored.",
        ),
        Action(
            "resume", "Resume", "Resume this run?",
            "It goes on exactly where it stopped. A suspension of the whole fleet is lifted too, unless a person"
            " suspended it. From here on calls are paid for again.",
            "Resumed.",
        ),
        Action(
            "approve", "Approve", "Approve this run?",
            "Its sample is done; with your approval the rest follows, and is paid for.",
            "Approved: the rest of the run follows.",
        ),
        Action(
            "reject", "Reject", "Reject this run?",
            "Its sample stays as it is, and nothing else of it is done or paid for. A rejected run cannot be resumed.",
            "Rejected. Its sample stays as it is.", grave=True,
        ),
        Action(
            "cancel", "Cancel run", "Cancel this run for good?",
            "Calls in flight end and are stored; what is done stays done, and everything else stays undone. A cancelled"
            " run cannot be resumed.",
            "Cancelled. What is done stays done.", grave=True,
        ),
        Action(
            "retry", "Retry", "Run jobs of it again?",
            "They become a new run, as they were planned. A failed call is made again, and paid for if it succeeds."
            " What looks wrong was paid for, and is paid for again with another seed. What is done by now costs"
            " nothing.",
            "This is the new run.",
        ),
    )
}  # fmt: skip

FLEET_ACTIONS = {
    action.name: action
    for action in (
        Action(
            "suspend", "Suspend the fleet", "Suspend the whole fleet?",
            "No worker begins a new call, whatever the run. Calls in flight end and are stored.",
            "The fleet is suspended.",
        ),
        Action(
            "resume", "Resume the fleet", "Resume the fleet?",
            "Every reason of its suspension is lifted, and workers take up what is pending. From here on calls are paid"
            " for again.",
            "The fleet goes on.",
        ),
    )
}  # fmt: skip


def of_run(row: Row) -> list[Action]:
    """The buttons of a run as it stands."""
    if row.ended:
        names = ["retry"] if again(row) else []
    elif row.status == "awaiting_approval":
        names = ["approve", "reject"]
    elif any(reason.scope == "run" for reason in row.reasons) or row.totals is None:
        names = ["resume", "cancel"]
    elif row.reasons:
        names = ["resume", "suspend", "cancel"]
    else:
        names = ["suspend", "cancel"]
    return [RUN_ACTIONS[name] for name in names]


def of_fleet(moment: Moment) -> list[Action]:
    """The buttons of the fleet as it stands."""
    if any(reason.reason == "operator" for reason in moment.reasons):
        return [FLEET_ACTIONS["resume"]]
    return [FLEET_ACTIONS[name] for name in (("resume", "suspend") if moment.reasons else ("suspend",))]


def again(row: Row) -> dict[str, int]:
    """Jobs of a run that has ended which a retry may run again, by how they ended."""
    totals = row.totals
    if totals is None:
        return {}
    counts = {"failed": totals.failed, "suspect": totals.suspect}
    counts["pending"] = totals.pending if row.status == "cancelled" else 0
    return {name: count for name, count in counts.items() if count}


def act_on_run(name: str, side: Side, row: Row, by: str, fields: Mapping[str, str]) -> str:
    """Does it; answers with the id of the run to look at afterwards.

    Raises:
        ConfigurationError: it cannot be done to this run (any more), or a field of its form is wrong.
    """
    control, run_id = _control(side, by), row.run.run_id
    if name == "suspend":  # to stop waits for nobody
        control.suspend(run_id)
        return run_id
    with _AT_WORK[run_id]:
        if name == "retry":
            return _retry(side, row, control, fields.get("status") or "failed")
        if name == "approve" and (variant := fields.get("variant", "")):
            return approve_in_part(side.session, row.run, {variant}, by).run_id
        if name == "resume":
            control.resume(run_id, budget=amount(fields.get("budget", "")))
        elif name == "approve":
            control.approve(run_id)
        else:
            control.cancel(run_id, what="rejected" if name == "reject" else "cancelled")
    return run_id


def act_on_fleet(name: str, side: Side, by: str) -> None:
    """Does it."""
    control = _control(side, by)
    if name == "suspend":
        control.suspend(None)
    else:
        control.resume(None)


def _control(side: Side, by: str) -> Control:
    return replace(side.session.control, by=by)


def _retry(side: Side, row: Row, control: Control, status: str) -> str:
    """A new run of the jobs that ended so; pressed twice it is one, and who presses next is led to it."""
    here, old = side.session, row.run
    plan = plan_retry(
        old, here.rows(old), Slice(frozenset({status})), here.settings, workspace=here.workspace, store=here.store
    )  # fmt: skip
    if not plan.jobs:
        raise ConfigurationError(f"Run {old.run_id} has no {status} job.")
    for other in control.unfinished():
        if other.plan_digest == plan.plan_digest:
            return other.run_id
    run = write_shards(
        plan, workspace=here.workspace, store=here.store, shard_jobs=here.settings.shard_jobs, by=control.by
    )
    control.submit(run, here.feeder)
    control.note(old.run_id, "retried", f"by run {run.run_id}")
    return run.run_id
