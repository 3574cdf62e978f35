"""costs: what runs have cost."""

from __future__ import annotations

import sys
from datetime import timedelta

import typer

from apps.cli import options
from apps.session import session
from apps.terminal.console import amount, out, print_json, say, talk
from apps.views.costs import FIGURES, CostTable, cost_table, is_day
from producers.runs.spending import By
from restyle.errors import ConfigurationError
from restyle.models import utc_now


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: restyle costs · restyle costs --by label --since 2026-01-01 · restyle costs --by run --csv"
    )(costs)


def costs(
    by: By = typer.Option(By.MONTH, help="Count by day, month, schedule, variant, label or run.", metavar="WHAT"),
    since: str = typer.Option("", help="Only what was spent from this day on, e.g. 2026-01-31.", metavar="DATE"),
    labels: options.OnlyLabel = None,
    as_csv: bool = typer.Option(False, "--csv", help="Print CSV on stdout."),
    as_json: options.Json = False,
    sandbox: options.Sandbox = False,
) -> None:
    """Sum up what runs have cost, from what S3 keeps of them; what may have been billed stands apart."""
    if since and not is_day(since):
        raise ConfigurationError(f"--since {since}: write it like 2026-01-31")
    if since > f"{utc_now() + timedelta(days=1):%Y-%m-%d}":  # east of here it is tomorrow already
        raise ConfigurationError(f"--since {since}: that day is still to come")
    having = options.labels_from(labels)
    with session(options.settings_from(sandbox=sandbox)) as here, talk.status("Summing up…"):
        table = cost_table(here, by, since=since, labels=having)
    if as_json:
        groups = [{by.value: name, **figures} for name, figures in table.rows]
        print_json({"by": by.value, "zone": table.zone, "costs": groups, "total": table.total})
    elif as_csv:
        sys.stdout.write(table.csv())
    else:
        _print_table(table)
    for lines, style in ([table.in_doubt], "dim"), (table.missing, "yellow"), ([table.repeated], "dim"):
        for line in filter(None, lines):
            say(line, style)


def _print_table(costs: CostTable) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(costs.by.value, overflow="fold")
    for title in FIGURES:
        table.add_column(title.replace("_", " "), justify="right", no_wrap=True)
    rows = costs.rows
    for name, figures in [*rows, ("total", costs.total)]:
        cells = [f"{figures['pictures']:,}", *(amount(figures[title]) for title in FIGURES[1:])]
        table.add_row(Text(name), *cells, style="bold" if name == "total" and len(rows) > 1 else "")
    out.print(table)
