"""costs: what runs have cost."""

from __future__ import annotations

import csv
import sys
from datetime import date

import typer

from apps.cli import options
from apps.session import session
from apps.terminal.console import amount, out, print_json, say, talk
from producers.runs.listing import read_runs, run_ids
from producers.runs.spending import By, Cost, Spending, spending
from restyle.coordination.periods import Periods, known_zone
from restyle.errors import ConfigurationError


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
    _check_date(since)
    having = options.labels_from(labels)
    with session(options.settings_from(sandbox=sandbox)) as here, talk.status("Summing up…"):
        runs = read_runs(run_ids(here.store, here.workspace), here.store, here.workspace)
        zone = known_zone(Periods(here.state).zone() or here.settings.time_zone)
        spent = spending(
            (run for run in runs if having.items() <= run.labels.items()), by,
            store=here.store, workspace=here.workspace, zone=zone, since=since,
        )  # fmt: skip
    price = here.settings.credit_price
    if as_json:
        groups = [{by.value: name, **_numbers(cost, price)} for name, cost in _sorted(spent, by)]
        print_json({"by": by.value, "zone": zone, "costs": groups, "total": _numbers(spent.total, price)})
    elif as_csv:
        _print_csv(spent, by, price)
    else:
        _print_table(spent, by, price)
    _say_what_is_missing(spent)


def _check_date(text: str) -> None:
    """Raises ConfigurationError where the text is no day."""
    try:
        if text and f"{date.fromisoformat(text)}" != text:
            raise ValueError
    except ValueError:
        raise ConfigurationError(f"--since {text}: write it like 2026-01-31") from None


def _sorted(spent: Spending, by: By) -> list[tuple[str, Cost]]:
    """The groups: those of time in their order, others by what they cost."""
    in_time = by in {By.DAY, By.MONTH, By.RUN}
    ranked = sorted(spent.groups.items(), key=lambda item: item[0])
    return ranked if in_time else sorted(ranked, key=lambda item: -item[1].credits - item[1].in_doubt)


def _numbers(cost: Cost, price: float) -> dict[str, float]:
    """A cost in figures; dollars are of both."""
    credits, in_doubt = round(cost.credits, 6), round(cost.in_doubt, 6)
    dollars = round((cost.credits + cost.in_doubt) * price, 4)
    return {"pictures": cost.pictures, "credits": credits, "in_doubt": in_doubt, "dollars": dollars}


def _print_csv(spent: Spending, by: By, price: float) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([by.value, *_numbers(Cost(), price)])
    for name, cost in _sorted(spent, by):
        writer.writerow([name, *_numbers(cost, price).values()])


def _print_table(spent: Spending, by: By, price: float) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(by.value, overflow="fold")
    for title in ("pictures", "credits", "in doubt", "dollars"):
        table.add_column(title, justify="right", no_wrap=True)
    rows = _sorted(spent, by)
    for name, cost in [*rows, ("total", spent.total)]:
        figures = _numbers(cost, price)
        cells = [f"{cost.pictures:,}", *(amount(figures[title]) for title in ("credits", "in_doubt", "dollars"))]
        table.add_row(Text(name), *cells, style="bold" if name == "total" and len(rows) > 1 else "")
    out.print(table)


def _say_what_is_missing(spent: Spending) -> None:
    """What the sums do not have, and what they have twice."""
    if spent.total.in_doubt:
        say("In doubt: calls whose answers were lost, at the price that budgets count; the account says whether they"
            " were billed.", "dim")  # fmt: skip
    if spent.under_way:
        count = f"{len(spent.under_way):,} run{'s are' if len(spent.under_way) > 1 else ' is'}"
        say(f"{count} under way: what is not closed of them yet is not in these sums.", "yellow")
    for run_id, why in spent.unread.items():
        say(f"Run {run_id} is not in these sums, or not whole: {why}", "yellow")
    if sum(cost.credits for cost in spent.groups.values()) > spent.total.credits + 0.01:
        say("A run with several labels counts for each of them, and once in the total.", "dim")
