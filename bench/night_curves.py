"""Time and requests of a night against its rows, and against what has changed: for docs/benchmarks.md."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from bench import charts
from bench.nights import night
from bench.page import DOCS, PAGE
from restyle.models import utc_now

#: Rows of nights in which as many have changed.
ROWS, FEW = (2_000, 20_000, 50_000, 100_000, 200_000), 20
#: Changed rows of nights of as many rows.
CHANGED, MANY = (20, 200, 500, 1_000, 2_000), 20_000

Night = dict[str, Any]


def write() -> None:
    """Measures the nights, and writes their part of the page."""
    load = os.getloadavg()[0]
    by_rows = [measured(rows, FEW) for rows in ROWS]
    by_changes = [by_rows[ROWS.index(MANY)], *(measured(MANY, changed) for changed in CHANGED[1:])]
    for name, nights, figure, unit in (
        ("rows", by_rows, "rows", f"rows, of which {FEW} have changed"),
        ("changes", by_changes, "changed", f"changed of {MANY:,} rows"),
    ):
        xs = [one[figure] for one in nights]
        _chart(f"night-{name}-seconds", "A night: seconds", xs, nights, SECONDS, unit)
        _chart(f"night-{name}-requests", "A night: requests to S3", xs, nights, REQUESTS, unit)
    block = "\n".join(_block(by_rows, by_changes, load))
    path = DOCS / PAGE
    head, begin, rest = path.read_text(encoding="utf-8").partition("<!-- curves -->\n")
    _, end, tail = rest.partition("<!-- /curves -->")
    path.write_text(f"{head}{begin}{block}\n{end}{tail}", encoding="utf-8")


SECONDS = {"from submit to report": "wall", "CPU to plan": "planned_cpu", "CPU of workers": "worker_cpu"}
REQUESTS = {"pages of listings": "pages", "other requests": "requests"}
#: The table's columns, and how each is written.
COLUMNS = {
    "rows": "{rows:,}", "changed": "{changed:,}", "from submit to report": "{wall:.1f} s", "a row": "{each:.2f} ms",
    "CPU to plan": "{planned_cpu:.1f} s", "CPU of workers": "{worker_cpu:.1f} s", "pages of listings": "{pages:,}",
    "other requests": "{requests:,}", "calls": "{calls:,}",
}  # fmt: skip


def measured(rows: int, changed: int) -> Night:
    """One night; it is wrong where another number of calls was paid for."""
    figures = night(rows, changed)
    assert figures["calls"] == changed, figures
    print(f"{rows:,} rows, {changed:,} changed: {figures['wall']:.1f} s", flush=True)  # noqa: T201 - a script's talk
    return figures


def _chart(
    name: str, title: str, xs: Sequence[float], nights: Sequence[Night], series: dict[str, str], unit: str
) -> None:
    values = {label: [one[figure] for one in nights] for label, figure in series.items()}
    (DOCS / "images" / f"bench-{name}.svg").write_text(charts.lines(title, xs, values, x_unit=unit), encoding="utf-8")


def _block(by_rows: Sequence[Night], by_changes: Sequence[Night], load: float) -> Iterable[str]:
    yield f"Curves, by `python -m bench.nights curves` on {utc_now():%Y-%m-%d}; the load before was {load:.1f}:"
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for one in (*by_rows, *by_changes[1:]):
        each = one["wall"] * 1000 / one["rows"]
        yield f"| {' | '.join(form.format(**one, each=each) for form in COLUMNS.values())} |"
    for what, by in (("rows", "its rows"), ("changes", "what has changed")):
        for figure in ("seconds", "requests"):
            yield ""
            yield f"![A night's {figure} against {by}](images/bench-night-{what}-{figure}.svg)"
