"""What a person types about a suspension, so that it works as it stands there."""

from __future__ import annotations

import re

from restyle.coordination.suspensions import Suspension

_COMMAND = re.compile(r"\brestyle (resume|approve|reject|report|cancel)\b")


#: What helps after a failure, by its code; any other is tried again.
_AGAIN = "then give restyle the manifest again, as before: what is done is not paid for again"
_AFTER = {
    "input_not_found": f"put the pictures where the manifest says, {_AGAIN}",
    "input_refused": f"give addresses that anybody may open, or sign the links anew, {_AGAIN}",
    "input_unreachable": "when the web server is well again: restyle retry {run} --error input_unreachable",
    "invalid_image": f"repair or replace these pictures, {_AGAIN}",
    "request_rejected": f"change what the message names, {_AGAIN}",
    "unreadable": "to read what the API sent once more, without a call: restyle retry {run} --unreadable",
    "in_doubt": "see whether the account was billed for them; to call again: restyle retry {run} --error in_doubt",
    "not_stored": "have the outputs' place take them, then, without a call: restyle retry {run} --error not_stored",
    "bug": "report it, with its traceback from the report; to try again: restyle retry {run} --error bug",
}


def after_failure(code: str, run_id: str) -> str:
    """What a person does about jobs of a run that failed with this error."""
    advice = _AFTER.get(code, f"to run them again: restyle retry {{run}} --error {code}")
    return advice.replace("{run}", run_id)


def next_step(
    standing: Suspension, run_id: str = "", *, sandbox: bool = False, budget: float | None = None, waits: bool = False
) -> str:
    """What to do about a suspension, with the run that it is typed for.

    Args:
        standing: why a run, or the fleet, stands still.
        run_id: the run that is looked at; empty: it is the fleet.
        sandbox: whether it is the sandbox's side of the workspace.
        budget: what the run may spend.
        waits: whether the balance is checked, so that it goes on after a top-up.
    """
    if waits and standing.is_of_balance:
        sooner = f"restyle resume {run_id}".rstrip()
        return f"top up the account at segmind.com: it goes on by itself within minutes; sooner, type: {sooner}"
    if standing.reason == "budget" and standing.until:
        return (
            "nothing: it goes on by itself when the day or the month is over; or raise RESTYLE_DAILY_BUDGET or"
            f" RESTYLE_MONTHLY_BUDGET for the workers, restart them, then type: restyle resume {run_id}"
        ).rstrip()
    whom = run_id
    if not run_id or (standing.scope == "fleet" and standing.reason == "operator"):
        # A person's suspension of the whole fleet is lifted for all of it.
        whom = "--sandbox" if sandbox else ""
    command = _COMMAND.sub(lambda match: f"{match[0]} {whom}".rstrip(), standing.next)
    return command.replace("CREDITS", f"{2 * budget:g}") if budget else command
