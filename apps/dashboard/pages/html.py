"""The pages as HTML. Each is made of parts, and a part is what the stream sends anew when it has changed.

Everything that came from a manifest, from the API or from a person is escaped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from apps.dashboard.acts import actions
from apps.dashboard.pages import phrases
from apps.dashboard.pages.charts import Chart, chart, pace, spending
from apps.dashboard.pages.timetable import Line
from apps.views.moment import Moment, Row
from apps.views.run_detail import CloseUp
from config.settings import Settings
from restyle.coordination.runs.trends import RunPoint
from restyle.models import Run

#: Runs on one page of the list.
PER_PAGE = 50

Parts = dict[str, str]


def runs_parts(
    moments: list[Moment], rows: list[Row], page: int, pages: int, *, embedded: bool, sandbox: bool
) -> Parts:
    """The list of runs."""
    return {
        "banner": _banner(moments, here="runs"),
        "runs": _render("parts/runs.html.j2", rows=rows, page=page, pages=pages, moments=moments, embedded=embedded,
                        sandbox=sandbox, charts=_fleet_charts(moments[0])),
    }  # fmt: skip


def run_parts(moment: Moment, row: Row, near: CloseUp, price: float, *, embedded: bool, may_act: bool) -> Parts:
    """One run."""
    totals = row.totals
    order = {name: place for place, name in enumerate(near.titles)}
    variants = sorted(near.variants.items(), key=lambda item: (order.get(item[0], 0), item[0]))
    shared = {"row": row, "run": row.run, "totals": totals, "near": near, "moment": moment}
    return {
        "banner": _banner([moment], row, here="run", embedded=embedded),
        "about": _render(
            "parts/about.html.j2", **shared, buttons=actions.of_run(row) if may_act else [], may_act=may_act
        ),
        "counts": _render("parts/counts.html.j2", **shared, price=price, charts=_run_charts(row, near)),
        "pictures": _render("parts/pictures.html.j2", **shared),
        "variants": _render("parts/variants.html.j2", **shared, counted=near.counted, variants=variants),
        "failures": _render("parts/failures.html.j2", **shared),
        "events": _render("parts/events.html.j2", events=_run_events(row, near)),
    }


def fleet_parts(moments: list[Moment], *, embedded: bool, may_act: bool) -> Parts:
    """The fleet: of the sandbox only where it shows any sign of life."""
    shown = [moment for moment in moments if moment.side == "api" or moment.workers or moment.rows]
    shown = shown or moments[:1]
    parts = {"banner": _banner(moments, here="fleet")}
    for moment in shown:
        parts[f"fleet-{moment.side}"] = _render(
            "parts/fleet.html.j2", moment=moment, alone=len(shown) == 1, embedded=embedded, answers=moment.answers,
            buttons=actions.of_fleet(moment) if may_act else [], charts=_fleet_charts(moment),
        )  # fmt: skip
    return parts


def schedules_parts(
    moments: list[Moment], lines: list[Line], nights: Mapping[str, Sequence[Row]], *, embedded: bool, may_act: bool
) -> Parts:
    """The schedules, each with its last runs."""
    return {
        "banner": _banner(moments, here="schedules", unattended=[line for line in lines if line.unattended]),
        "schedules": _render("parts/schedules.html.j2", lines=lines, nights=nights, embedded=embedded, may_act=may_act),
    }


def _run_charts(row: Row, near: CloseUp) -> dict[str, Chart | None]:
    """How the run has come to where it is."""
    points = list(near.trend)
    if points and row.totals and (row.run.finished or not row.ended):
        # Its last word, or this moment; the points lie seconds apart.
        at = row.run.finished.timestamp() if row.run.finished else time.time()
        last = RunPoint(max(at, points[-1].at + 0.1), row.done, row.totals.failed, row.totals.credits,
                        points[-1].left if row.totals.credits_after is None else row.totals.credits_after)  # fmt: skip
        points.append(last)
    return {
        "pace": chart(pace(points), floor=0),
        "spent": chart([(point.at, point.credits) for point in points], floor=0),
        "left": chart([(point.at, point.left) for point in points]),
    }


def _fleet_charts(moment: Moment) -> dict[str, Chart | None]:
    """How the fleet fared within the last hour."""
    points = moment.trend

    def share(part: str) -> Chart | None:
        pairs = [(point.at, getattr(point, part) / point.calls if point.calls else 0.0) for point in points]
        return chart(pairs, floor=0)

    return {
        "calls": chart([(point.at, float(point.calls)) for point in points], floor=0),
        "median": chart([(point.at, point.median) for point in points], floor=0),
        "broken": share("broken"), "limited": share("limited"), "lost": share("lost"),
        "spending": chart(spending(points), floor=0),
        "left": chart([(point.at, point.left) for point in points]),
    }  # fmt: skip


def page(title: str, parts: Parts, **context: Any) -> str:
    """A whole page around its parts."""
    return _render("page.html.j2", title=title, parts=parts, **context)


def cost_of(action: str, row: Row, settings: Settings) -> str:
    """What an action will cost at most, and what is left of the budget; empty where nothing is paid for by it."""
    totals, run = row.totals, row.run
    if totals is None or action not in {"approve", "resume"}:
        return ""
    counted = priced(totals.pending, run, settings)
    if not run.budget:
        return counted
    return f"{counted}; of its budget of {run.budget:,.2f} credits, {totals.credits:,.2f} are spent"


def priced(jobs: int, run: Run, settings: Settings) -> str:
    """So many jobs and what they will cost about."""
    credits = jobs * settings.price
    paid = "of play money" if run.options.sandbox else f"(${credits * settings.credit_price:,.2f})"
    return f"{jobs:,} job{'' if jobs == 1 else 's'}, about {credits:,.2f} credits {paid}"


def single(template: str, **context: Any) -> str:
    """A page that does not move: a question, the sign-in form, an error."""
    return _render(f"{template}.html.j2", **context)


def _banner(
    moments: list[Moment], row: Row | None = None, *, here: str, embedded: bool = False, unattended: Sequence[Line] = ()
) -> str:
    """Why something stands still, and what a person does about it."""
    # Both sides of a workspace may use one account, and so be suspended as one.
    standing = row.reasons if row else [reason for moment in moments for reason in moment.reasons]
    reasons = list({(reason.scope, reason.reason, reason.since): reason for reason in standing}.values())
    troubles = {moment.trouble for moment in moments if moment.trouble}
    refusals = {moment.refusal for moment in moments if moment.refusal}
    lonely = row is not None and row.status == "running" and not moments[0].living and not refusals
    return _render("parts/banner.html.j2", reasons=reasons, here=here, troubles=troubles, row=row, lonely=lonely,
                   refusals=sorted(refusals),
                   embedded=embedded, unattended=unattended)  # fmt: skip


def _run_events(row: Row, near: CloseUp) -> list[dict[str, Any]]:
    """The run's log, newest first: what people did, and what run.json and the suspensions tell beside it."""
    run = row.run
    events = [dict(event) for event in near.events]
    if not any(event["what"] == "submitted" for event in events):
        events.append({"at": run.created, "what": "submitted", "by": run.by, "detail": ""})
    known = {(event["what"], event["by"]) for event in events}
    for reason in row.reasons:
        if reason.scope == "fleet" or ("suspended", reason.by) not in known:
            at = datetime.fromtimestamp(reason.since, UTC)
            what = "fleet suspended" if reason.scope == "fleet" else "suspended"
            events.append({"at": at, "what": what, "by": reason.by, "detail": reason.detail})
    if run.finished:
        # A cancelled run's last word is its report.
        what = "finished" if run.status.value == "finished" else "report written"
        events.append({"at": run.finished, "what": what, "by": "", "detail": ""})
    return sorted(events, key=lambda event: event["at"], reverse=True)


def _render(template: str, **context: Any) -> str:
    return environment().get_template(template).render(**context)


@cache
def environment() -> Environment:
    """The templates with their filters."""
    templates = Environment(
        loader=PackageLoader("apps.dashboard"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= phrases.FILTERS
    templates.globals |= {"asset": _asset}
    return templates


@cache
def _asset(name: str) -> str:
    """The address of one of our files; it changes with the content, so that a browser may keep it."""
    file = asset_file(name)
    if file is None:
        raise FileNotFoundError(name)
    return f"/static/{name}?v={hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


def asset_file(name: str) -> Traversable | None:
    """One of our files by its name: the dashboard's own, or of the look that it shares with the report."""
    places = (resources.files(package) / "static" / name for package in ("apps.dashboard", "reports"))
    return next((file for file in places if file.is_file()), None)
