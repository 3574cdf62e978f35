"""What a notification says, and to whom: the run's summary with links, why jobs failed, and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import structlog
from pydantic import ValidationError

from config.schedules import Event, Notify
from producers.runs.reasons import Reason
from producers.runs.snapshot import Snapshot
from restyle.coordination.advice import after_failure
from restyle.models import Run, RunStatus

log = structlog.get_logger("restyle.notify")

#: Reasons of failure that a message tells.
REASONS = 3


Payload = dict[str, Any]


def about(run: Run, text: str) -> str:
    """A sentence about a run."""
    return f"{run.title or 'run'} {run.run_id}: {text}"


def summed(now: Snapshot, event: str, why: Sequence[Reason]) -> Payload:
    """The report's summary with links, and the same as a sentence; below it why jobs failed, and what helps."""
    assert event in get_args(Event)
    counts = f"{now.succeeded:,} succeeded, {now.skipped:,} skipped, {now.failed:,} failed, {now.pending:,} pending"
    counts += f"; {now.suspect:,} look wrong" if now.suspect else ""
    word = now.status.value.replace("_", " ") if event == "finished" else event.replace("_", " ")
    reason = f" ({now.suspension.reason}: {now.suspension.detail})" if now.suspension else ""
    text = f"{now.name or 'run'} {now.run_id} {word}{reason}: {counts}; {now.credits_spent:,.2f} credits spent"
    lines = [f"{one.count:,} {one.error}: {one.message} ({', '.join(one.examples)})" for one in why[:REASONS]]
    links = {"outputs": now.outputs}
    if now.report:
        links |= {kind: now.report.removesuffix("csv") + kind for kind in ("csv", "json", "html")}
    after = after_failure(why[0].error, now.run_id) if why and now.status is RunStatus.FINISHED else ""
    return {
        "text": "\n".join([text, *lines]),
        "status": now.status.value,
        "summary": now.model_dump(mode="json"),
        "reasons": [one.model_dump(mode="json") for one in why],
        "links": links,
        "next": after,
    }


def recipients_of(run_id: str, notify: dict[str, Any]) -> Notify | None:
    """Whom a run wants notified; None where it says nothing readable."""
    try:
        return Notify.read(notify)
    except ValidationError:
        log.warning("run.json says nothing readable of who is to be notified", run=run_id)
        return None
