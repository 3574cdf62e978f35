"""What a person types about a suspension, so that it works as it stands there."""

from __future__ import annotations

import re

from restyle.coordination.suspensions import Suspension

_COMMAND = re.compile(r"\brestyle (resume|approve|reject|report|cancel)\b")


def next_step(standing: Suspension, run_id: str = "", *, sandbox: bool = False) -> str:
    """What to do about a suspension, with the run that it is typed for.

    Args:
        standing: why a run, or the fleet, stands still.
        run_id: the run that is looked at; empty: it is the fleet.
        sandbox: whether it is the sandbox's side of the workspace.
    """
    if standing.reason == "budget" and standing.until:
        return (
            "nothing: it goes on by itself when the day or the month is over; or raise RESTYLE_DAILY_BUDGET or"
            f" RESTYLE_MONTHLY_BUDGET for the workers, restart them, then type: restyle resume {run_id}"
        ).rstrip()
    whom = run_id
    if not run_id or (standing.scope == "fleet" and standing.reason == "operator"):
        # A person's suspension of the whole fleet is lifted for all of it.
        whom = "--sandbox" if sandbox else ""
    return _COMMAND.sub(lambda found: f"{found[0]} {whom}".rstrip(), standing.next)
