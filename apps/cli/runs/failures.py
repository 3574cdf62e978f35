"""Why jobs of a run failed, in a few lines, and what to do about each reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apps.session import Session
from producers.runs.reasons import Reason, reasons_of
from producers.runs.snapshot import Snapshot
from restyle.coordination.advice import after_failure
from restyle.errors import RestyleError

#: Reasons that are reported, those of most failures first.
TOLD = 5


def reasons(now: Snapshot, here: Session) -> list[Reason]:
    """Why jobs of the run failed; nothing where that cannot be read."""
    if not now.failed:
        return []
    try:
        run = here.read(now.run_id)
        return reasons_of(run, here.rows(run), store=here.store, workspace=here.workspace)
    except RestyleError:
        return []


def tell(reasons: Sequence[Reason], now: Snapshot, say: Callable[[str], None]) -> None:
    """Says each reason with some of its jobs; below, what helps, once for each error."""
    for reason in reasons[:TOLD]:
        what = f"{reason.error}: {reason.message}" if reason.message else reason.error
        more = ", …" if reason.count > len(reason.examples) else ""
        say(f"{reason.count:,} failed, {what} ({', '.join(reason.examples)}{more})")
    if len(reasons) > TOLD:
        say(f"and {sum(reason.count for reason in reasons[TOLD:]):,} failed for {len(reasons) - TOLD:,} other reasons")
    if reasons and now.ended:
        for code in dict.fromkeys(reason.error for reason in reasons[:TOLD]):
            say(f"next ({code}): {after_failure(code, now.run_id)}")
