"""Numbers, times and reasons as the pages say them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from apps.terminal.console import span_text
from apps.views.moment import Row
from producers.planning.compare.changes import Change
from producers.planning.compare.diff import Diff
from restyle.coordination.advice import next_step
from restyle.coordination.suspensions import Suspension

_WHY = {
    "operator": "a person stopped it",
    "interrupted": "its command was stopped",
    "no_credits": "the account allows no more calls",
    "unauthorized": "the API refuses the key",
    "misconfigured": "the API is not at this address",
    "misconfigured/store": "S3 refuses access",
    "outage": "the API is down",
    "rate_limited": "the API's rate limit never lets up",
    "held": "the API asks to wait",
    "workspace_held": "another Redis holds the workspace",
    "refused": "the API refuses one job after the other",
    "awaiting_approval": "its sample awaits approval",
    "budget": "the budget is used up",
    "deadline": "its time is up",
    "failing": "too many of its jobs failed alike",
    "suspect": "too many of its pictures look wrong",
    "unreadable": "the API's answers cannot be read",
}


def moment(seconds: float) -> datetime:
    """Unix seconds as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def ago(time: datetime) -> str:
    """How long ago, roughly, so that the words change seldom."""
    seconds = (datetime.now(UTC) - time).total_seconds()
    if seconds < 60:
        return "just now"
    return f"{_rough(seconds)} ago"


def _rough(seconds: float) -> str:
    """A minute or more, in its largest unit."""
    size, name = next(unit for unit in ((86400, "day"), (3600, "hour"), (60, "minute")) if seconds >= unit[0])
    count = int(seconds // size)
    return f"{count:,} {name}{'s' if count > 1 else ''}"


def took(start: datetime, end: datetime) -> str:
    """How long something lasted."""
    return span_text((end - start).total_seconds())


def when(time: datetime) -> str:
    """A time with its date."""
    time = time.astimezone(UTC)
    return f"{time.day} {time:%b %Y, %H:%M} UTC"


def short(time: datetime) -> str:
    """A time in a log."""
    time = time.astimezone(UTC)
    return f"{time.day} {time:%b, %H:%M:%S}"


def number(value: float | None) -> str:
    """A count with its thousands set apart, an amount with two decimals or as many as it needs, up to four."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, int):
        return f"{value:,}"
    whole, _, decimals = f"{value:,.4f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def why(reason: Suspension) -> str:
    """Why something is suspended, as a person says it."""
    return _WHY.get(f"{reason.reason}/{reason.cause}") or _WHY.get(reason.reason, words(reason.reason))


def what_next(reason: Suspension, row: Row | None = None) -> str:
    """What to do about a suspension of a run, or of the fleet, with the page's buttons rather than with commands."""
    if reason.reason in {"operator", "interrupted", "deadline"}:
        return "press Resume when you are ready"
    if reason.reason == "budget" and row:
        return next_step(reason, row.run.run_id, budget=row.run.budget, waits=row.run.wait_credits)
    sentence = reason.next.replace("then type: restyle resume", "then press Resume")
    return sentence.replace(
        "look at the report, then type: restyle approve (or: restyle reject)",
        "look at the pictures, then press Approve or Reject",
    )


def sentence(text: str) -> str:
    """What a program reports, as a sentence: with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".") if text else ""


def detail(text: str) -> str:
    """The detail of an event; a reason's code at its beginning is put in words."""
    code, colon, rest = text.partition(": ")
    return f"{_WHY[code]}: {rest}" if colon and code in _WHY else text


def words(code: str) -> str:
    """A code of ours as words."""
    return code.replace("_", " ")


def ahead(time: datetime) -> str:
    """How far ahead, roughly."""
    seconds = (time - datetime.now(UTC)).total_seconds()
    return "now" if seconds < 60 else f"in {_rough(seconds)}"


def clock(time: datetime) -> str:
    """A time as its own time zone's clock shows it."""
    return f"{time:%a} {time.day} {time:%b, %H:%M}"


def share(value: float | None) -> str:
    """A share in per cent; one that is not zero is never shown as zero."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.0%}".replace("%", " %") if value == 0 or value >= 0.01 else "< 1 %"


def seconds(value: float | None) -> str:
    """How long an answer took."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.0f} s" if value >= 20 else f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"


#: What becomes of the jobs of a plan, as `restyle plan --diff` sorts them.
_CHANGES = {
    Change.NEW: "new", Change.INPUT_CHANGED: "whose picture has changed", Change.RECIPE_CHANGED: "with another recipe",
    Change.UNCHANGED: "done already, which cost nothing", Change.MISSING: "whose picture is missing, which will fail",
}  # fmt: skip


def changes_of(diff: Diff | None) -> str:
    """How many jobs of a plan are new, and how many are done; empty where all are new."""
    if diff is None:
        return ""
    counts = {change: diff.groups[change].jobs for change in _CHANGES}
    if not any(count for change, count in counts.items() if change is not Change.NEW):
        return ""
    return ", ".join(f"{count:,} {_CHANGES[change]}" for change, count in counts.items() if count)


FILTERS: dict[str, Callable[..., str | datetime]] = {
    "ago": ago, "ahead": ahead, "clock": clock, "detail": detail, "moment": moment, "next": what_next,
    "number": number, "seconds": seconds, "sentence": sentence, "share": share, "short": short, "span": span_text,
    "took": took, "when": when, "why": why, "words": words,
}  # fmt: skip
