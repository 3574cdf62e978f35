"""The pages as HTML. Each is made of parts, and a part is what the stream sends anew when it has changed.

Everything that came from a manifest, from the API or from a person is escaped.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from apps.cli.console import span_text
from apps.dashboard import actions
from apps.dashboard.close_up import CloseUp
from apps.dashboard.look import Moment, Row
from restyle.fleet import Suspension

#: Runs on one page of the list.
PER_PAGE = 50

Parts = dict[str, str]

_WHY = {
    "operator": "a person stopped it",
    "interrupted": "its command was stopped",
    "no_credits": "the account has no credits left",
    "unauthorized": "the API refuses the key",
    "misconfigured": "the API is not at this address",
    "outage": "the API is down",
    "rate_limited": "the API's rate limit never lets up",
    "awaiting_approval": "its sample awaits approval",
    "budget": "the budget is used up",
    "deadline": "its time is up",
}


def runs_parts(moments: list[Moment], rows: list[Row], page: int, pages: int, *, embedded: bool) -> Parts:
    """The list of runs."""
    return {
        "banner": _banner(moments, here="runs"),
        "runs": _render("parts/runs.html.j2", rows=rows, page=page, pages=pages, moments=moments, embedded=embedded),
    }


def run_parts(moment: Moment, row: Row, near: CloseUp, price: float, *, embedded: bool) -> Parts:
    """One run."""
    totals = row.totals
    told = {"row": row, "run": row.run, "totals": totals, "near": near, "moment": moment}
    return {
        "banner": _banner([moment], row, here="run", embedded=embedded),
        "about": _render("parts/about.html.j2", **told, buttons=actions.of_run(row)),
        "counts": _render("parts/counts.html.j2", **told, price=price),
        "variants": _render("parts/variants.html.j2", **told, counted=near.counted),
        "failures": _render("parts/failures.html.j2", **told),
        "pictures": _render("parts/pictures.html.j2", **told),
        "events": _render("parts/events.html.j2", events=_run_events(row, near)),
    }


def fleet_parts(moments: list[Moment], *, embedded: bool) -> Parts:
    """The fleet: of the sandbox only where it shows any sign of life."""
    shown = [moment for moment in moments if moment.side == "api" or moment.workers or moment.rows]
    shown = shown or moments[:1]
    parts = {"banner": _banner(moments, here="fleet")}
    for moment in shown:
        parts[f"fleet-{moment.side}"] = _render(
            "parts/fleet.html.j2", moment=moment, alone=len(shown) == 1, buttons=actions.of_fleet(moment),
            embedded=embedded,
        )  # fmt: skip
    return parts


def page(title: str, parts: Parts, **context: Any) -> str:
    """A whole page around its parts."""
    return _render("page.html.j2", title=title, parts=parts, **context)


def single(template: str, **context: Any) -> str:
    """A page that does not move: a question, the sign-in form, an error."""
    return _render(f"{template}.html.j2", **context)


def _banner(moments: list[Moment], row: Row | None = None, *, here: str, embedded: bool = False) -> str:
    """Why something stands still, and what a person does about it."""
    # Both sides of a workspace may use one account, and so be suspended as one.
    found = row.reasons if row else [reason for moment in moments for reason in moment.reasons]
    reasons = list({(reason.scope, reason.reason, reason.since): reason for reason in found}.values())
    troubles = {moment.trouble for moment in moments if moment.trouble}
    lonely = row is not None and row.status == "running" and not moments[0].living
    return _render("parts/banner.html.j2", reasons=reasons, here=here, troubles=troubles, row=row, lonely=lonely,
                   embedded=embedded)  # fmt: skip


def _run_events(row: Row, near: CloseUp) -> list[dict[str, Any]]:
    """The run's log, newest first: what people did, and what run.json and the suspensions tell beside it."""
    run = row.run
    told = [dict(event) for event in near.events]
    if not any(event["what"] == "submitted" for event in told):
        told.append({"at": run.created, "what": "submitted", "by": run.by, "detail": ""})
    known = {(event["what"], event["by"]) for event in told}
    for reason in row.reasons:
        if reason.scope == "fleet" or ("suspended", reason.by) not in known:
            at = datetime.fromtimestamp(reason.since, UTC)
            what = "fleet suspended" if reason.scope == "fleet" else "suspended"
            told.append({"at": at, "what": what, "by": reason.by, "detail": reason.detail})
    if run.finished:
        # A cancelled run's last word is its report.
        what = "finished" if run.status.value == "finished" else "report written"
        told.append({"at": run.finished, "what": what, "by": "", "detail": ""})
    return sorted(told, key=lambda event: event["at"], reverse=True)


def _render(template: str, **context: Any) -> str:
    return environment().get_template(template).render(**context)


@cache
def environment() -> Environment:
    """The templates with their filters."""
    found = Environment(
        loader=PackageLoader("apps.dashboard"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {
        "ago": _ago, "why": _why, "next": _next, "when": _when, "short": _short, "number": _number, "words": _words,
        "moment": _moment, "took": _took,
    }  # fmt: skip
    found.globals |= {"asset": _asset}
    return found


@cache
def _asset(name: str) -> str:
    """The address of one of our files; it changes with the content, so that a browser may keep it."""
    file = asset_file(name)
    if file is None:
        raise FileNotFoundError(name)
    return f"/static/{name}?v={hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


def asset_file(name: str) -> Traversable | None:
    """One of our files by its name: the dashboard's own, or of the look that it shares with the report."""
    places = (resources.files(package) / "static" / name for package in ("apps.dashboard", "producers"))
    return next((file for file in places if file.is_file()), None)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _ago(time: datetime) -> str:
    """How long ago, roughly, so that the words change seldom."""
    seconds = (datetime.now(UTC) - time).total_seconds()
    if seconds < 60:
        return "just now"
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count:,} {name}{'s' if count > 1 else ''} ago"
    raise AssertionError("unreachable")


def _took(start: datetime, end: datetime) -> str:
    return span_text((end - start).total_seconds())


def _when(time: datetime) -> str:
    time = time.astimezone(UTC)
    return f"{time.day} {time:%b %Y, %H:%M} UTC"


def _short(time: datetime) -> str:
    time = time.astimezone(UTC)
    return f"{time.day} {time:%b, %H:%M:%S}"


def _number(value: float | None) -> str:
    """A count with its thousands set apart, an amount with two decimals or as many as it needs, up to four."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, int):
        return f"{value:,}"
    whole, _, decimals = f"{value:,.4f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def _why(reason: str) -> str:
    """Why something is suspended, as a person says it."""
    return _WHY.get(reason, _words(reason))


def _next(reason: Suspension) -> str:
    """What to do about a suspension, with the page's buttons rather than with commands."""
    if reason.reason in {"operator", "interrupted", "deadline"}:
        return "press Resume when you are ready"
    told = reason.next.replace("then type: restyle resume", "then press Resume")
    return told.replace("type: restyle approve (or: restyle reject)", "press Approve, or Cancel run")


def _words(code: str) -> str:
    """A code of ours as words."""
    return code.replace("_", " ")
