"""Why the fleet or a run stands still, and what a person does about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from restyle.coordination.redis.hints import read_number, read_object

#: Reasons that end without a person.
ENDS_ITSELF = frozenset({"outage", "held"})


@dataclass(frozen=True)
class Suspension:
    """One reason for which the fleet or a run stands still; times are Unix seconds of Redis's clock."""

    scope: Literal["fleet", "run"]
    reason: str
    detail: str
    since: float
    until: float
    by: str
    #: Which of the reason's causes it is (restyle/segmind/wording.py), where the API's words tell.
    cause: str = ""
    #: Whether it stands in S3 as well.
    is_stored: bool = False

    @property
    def ends_itself(self) -> bool:
        """Whether nobody need do anything for it to end."""
        return self.reason in ENDS_ITSELF

    @property
    def is_of_balance(self) -> bool:
        """Whether more credits on the account may be all that it waits for."""
        return self.reason == "no_credits" and self.cause in {"", "balance"}

    @property
    def next(self) -> str:
        """What a person does about it."""
        return advice(self.reason, self.cause)


#: Characters of a suspension's words, and the milliseconds before which its times lie (the year 5138).
_WORDS, _LATEST = 2_000, 1e14
_RESUME = "then type: restyle resume"
_NEXT = {
    "no_credits": f"look at the account at segmind.com: credits, plan and limits; {_RESUME}",
    "no_credits/balance": f"top up the account at segmind.com, {_RESUME}",
    "no_credits/limit": f"raise the account's limit at segmind.com, or wait until its period is over, {_RESUME}",
    "no_credits/team_limit": f"have the team's limit raised, or wait until its period is over, {_RESUME}",
    "no_credits/plan": f"renew or change the plan at segmind.com, {_RESUME}",
    "no_credits/payment": f"correct the payment at segmind.com, {_RESUME}",
    "no_credits/account": f"ask at segmind.com what the account lacks, {_RESUME}",
    "unauthorized": f"check RESTYLE_API_KEY (restyle doctor tells), {_RESUME}",
    "misconfigured": f"check RESTYLE_API_URL (restyle doctor tells), {_RESUME}",
    "misconfigured/header": f"look at what stands between here and the API: a proxy, or RESTYLE_API_URL; {_RESUME}",
    "misconfigured/store": f"have S3 let the workers in again: credentials, bucket and its policy; {_RESUME}",
    "refused": "read what the API says and correct the manifest; to go on for the other jobs, type: restyle resume",
    "outage": "nothing: the API is probed, and the run goes on by itself at its first good answer",
    "held": "nothing: the API is asked again when the time is up; sooner, type: restyle resume",
    "workspace_held": "once the workspace is free again (restyle status shows who holds it), type: restyle resume",
    "rate_limited": f"check the account's rate limit, lower RESTYLE_MAX_RPM, {_RESUME}",
    "operator": "when you are ready, type: restyle resume",
    "interrupted": "to go on, type: restyle resume",
    "budget": "raise it, to twice as much for example: restyle resume --budget CREDITS",
    "deadline": "to go on without the time limit, type: restyle resume",
    "unreadable": "look into unreadable/ in the workspace, install a restyle that reads such answers if there is one,"
    " then type: restyle resume",
    "failing": "correct what they have in common (restyle report --status failed), then type: restyle resume; to have"
    " the others done whatever fails: restyle resume --max-failures 0; to end it: restyle cancel",
    "suspect": "look at the pictures (restyle report --open), then type: restyle resume; to have the others done"
    " whatever they look like: restyle resume --max-suspects 0; to end it: restyle cancel",
    "awaiting_approval": "look at the report, then type: restyle approve (or: restyle reject)",
}


def advice(reason: str, cause: str = "") -> str:
    """What a person does about a suspension for this reason, and cause of it."""
    return _NEXT.get(f"{reason}/{cause}") or _NEXT.get(reason, "look at the reason, then type: restyle resume")


def read_suspensions(entries: dict[str, str], scope: Literal["fleet", "run"]) -> Iterator[Suspension]:
    """The entries of a suspension hash as values."""
    for reason, text in sorted(entries.items()):
        # One that cannot be read stands all the same.
        entry = read_object(text) or {"detail": "what Redis has of it cannot be read"}
        since, until = (_seconds(entry.get(name)) for name in ("since", "until_ms"))
        detail, by, cause = (str(entry.get(name, ""))[:_WORDS] for name in ("detail", "by", "cause"))
        yield Suspension(scope, reason[:_WORDS], detail, since, until, by, cause, entry.get("stored") is True)


def _seconds(value: object) -> float:
    """A time of Redis's in milliseconds as Unix seconds; 0 for none that can be."""
    number = read_number(str(value)) or 0.0
    return number / 1000 if 0 <= number < _LATEST else 0.0


#: Seconds from which on a hold of the API's is reported like a suspension.
_LONG = 60.0


def read_hold(
    until: str | None, since: str | None, detail: str | None, by: str | None, *, now: float
) -> Suspension | None:
    """A hold of the API's after a 429 (milliseconds, as Redis has them) as what stands still; None for a short one."""
    ends, began = float(until or 0) / 1000, float(since or 0) / 1000
    if ends <= now or ends - began < _LONG:
        return None
    sentence = f"held by the API until {datetime.fromtimestamp(ends, UTC):%H:%M:%S} UTC"
    return Suspension("fleet", "held", f"{sentence}: {detail}" if detail else sentence, began, ends, by or "")
