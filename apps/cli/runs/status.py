"""status, runs: how the fleet and its runs stand, at a look."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import typer

from apps.cli import options
from apps.cli.runs import failures
from apps.session import Session, session
from apps.terminal.console import amount, counted, credits_text, out, print_json, say
from apps.terminal.exits import run_code
from producers.runs.outcomes import RunPruned
from producers.runs.snapshot import Snapshot, note_of
from restyle.coordination.advice import next_step
from restyle.coordination.periods import Periods
from restyle.coordination.workspace.holder import as_object, shown
from restyle.errors import InputNotFound, RunUnreadable, StateUnavailable
from restyle.models import Run, utc_now

if TYPE_CHECKING:
    from rich.table import Table

#: Columns of a terminal from which on `runs` tells everything.
WIDE = 130


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(status)
    app.command()(runs)


def status(
    run_id: options.MaybeRunId = None,
    as_json: options.Json = False,
    exit_code: bool = typer.Option(False, "--exit-code", help="Exit with the run's own code."),
    sandbox: options.Sandbox = False,
) -> None:
    """Show the fleet and every unfinished run, or one run."""
    settings = options.settings_from(sandbox=sandbox)
    with session(settings, run=run_id) as here:
        if run_id is None:
            fleet_status(here, as_json=as_json)
            return
        now = here.snapshot(here.read(here.run_id))
        why = failures.reasons(now, here)
        if as_json:
            print_json(now.model_dump(mode="json") | {"reasons": [reason.model_dump() for reason in why]})
        else:
            show_refusal(here.refusal())
            show(now, here)
            failures.tell(why, now, lambda text: out.print(f"  {text}", style="yellow", markup=False))
        if exit_code:
            sys.exit(run_code(now, here.settings))


def fleet_status(here: Session, *, as_json: bool) -> None:
    """Workers, suspension, and the runs that have not ended."""
    unfinished, unseen = standing(here)
    workers = {name: beat for name, beat in here.fleet.workers().items() if beat is not None}
    suspended, refusal = here.fleet.standing(), here.refusal()
    holder = here.holding.holder()
    if as_json:
        notes = [note_of(reason, sandbox=here.settings.sandbox).model_dump(mode="json") for reason in suspended]
        listed = [now.model_dump(mode="json") for now in unfinished]
        redis = {"refuses": refusal.message, "next": refusal.next} if refusal else None
        left = here.fleet.credits_left()
        print_json(
            {
                "workers": workers, "suspension": notes, "redis": redis, "credits_left": left, "runs": listed,
                "troubles": unseen, "holder": as_object(holder),
            }
        )  # fmt: skip
        return
    show_refusal(refusal)
    out.print(shown(holder, here.workspace.uri, utc_now()), markup=False)
    out.print(
        f"{counted(len(workers), 'worker')}, {counted(sum(now.pending for now in unfinished), 'job')} pending in"
        f" {counted(len(unfinished), 'run')}"
    )
    for name, beat in workers.items():
        if why := beat.get("out"):
            out.print(f"{name} is out of rotation: {why}", style="yellow", markup=False)
    for reason in suspended:
        out.print(f"suspended ({reason.reason}): {reason.detail}", style="yellow", markup=False)
        out.print(f"next: {next_step(reason, sandbox=here.settings.sandbox)}", style="yellow", markup=False)
    if workers and Periods(here.state).in_force() is None:
        out.print(
            "What was spent today and this month is being summed from S3: until then no call is made under a daily or"
            " monthly budget", style="yellow", markup=False,
        )  # fmt: skip
    if zones := other_zones(here):
        out.print(zones, style="yellow", markup=False)
    for now in unfinished:
        show(now, here)
    for run_id, trouble in unseen.items():
        out.print(f"[bold]{run_id}[/]  cannot be moved")
        show_trouble(trouble["reason"], trouble["next"])


def standing(here: Session) -> tuple[list[Snapshot], dict[str, dict[str, str]]]:
    """The runs that have not ended, and those that cannot be read, with why; none keeps the others from being shown."""
    unseen, seen = here.progress.troubles(), []
    for run in here.control.unfinished():
        now, why = legible_snapshot(here, run)
        if now is None:
            unseen.setdefault(run.run_id, {"reason": why, "next": f"end it: restyle cancel {run.run_id}"})
        else:
            seen.append(now)
            unseen.pop(run.run_id, None)
    return seen, unseen


def legible_snapshot(here: Session, run: Run) -> tuple[Snapshot | None, str]:
    """A run as it stands now; or why what S3 has of it cannot be read."""
    try:
        return here.snapshot(run), ""
    except (InputNotFound, RunPruned, RunUnreadable) as error:
        return None, error.message
    except (ValueError, KeyError) as error:
        return None, f"{type(error).__name__}: {error}"[:300]


def show_trouble(reason: str, what_next: str) -> None:
    """Why a run cannot be moved."""
    out.print(f"  cannot be moved: {reason}", style="yellow", markup=False)
    out.print(f"  next: {what_next}", style="yellow", markup=False)


def other_zones(here: Session) -> str:
    """A sentence where workers have other time zones than the one that the fleet counts days in; else nothing."""
    zone = Periods(here.state).zone()
    others = {
        name: str(beat["zone"])
        for name, beat in here.fleet.workers().items()
        if beat and beat.get("zone", zone) != zone
    }  # fmt: skip
    if not zone or not others:
        return ""
    names = ", ".join(f"{name} ({other})" for name, other in sorted(others.items()))
    return (
        f"Days and months of budgets are counted in {zone}, and these workers have another RESTYLE_TIME_ZONE: {names}."
        " Set it alike for all workers, and restart them"
    )


def show_refusal(refusal: StateUnavailable | None) -> None:
    """What Redis says, where it takes no writes."""
    if refusal:
        out.print(refusal.message, style="yellow", markup=False)
        out.print(f"next: {refusal.next}", style="yellow", markup=False)


def show(now: Snapshot, here: Session) -> None:
    """One run in a few lines."""
    # A name has no brackets, which would be taken for a style.
    out.print(f"[bold]{now.run_id}[/]  {f'{now.name}  ' if now.name else ''}{now.status.value}")
    reused = f" ({now.reused:,} reused, {amount(now.saved)} credits saved)" if now.reused else ""
    out.print(
        f"  {now.succeeded:,} succeeded · {now.skipped:,} skipped{reused} · {now.failed:,} failed"
        f" · {now.pending:,} pending"
        f" · {now.planned:,} planned"
        + (f" · {now.invalid:,} invalid" if now.invalid else "")
        + (f" · {now.suspect:,} suspect" if now.suspect else "")
    )
    left = f", {amount(now.credits_left)} left on the account" if now.credits_left is not None else ""
    out.print(f"  spent {credits_text(now.credits_spent, here.settings.credit_price)}{left}, {now.attempts:,} calls")
    if now.suspension:
        out.print(f"  suspended ({now.suspension.reason}): {now.suspension.detail}", style="yellow", markup=False)
        out.print(f"  next: {now.suspension.next}", style="yellow", markup=False)
    for brake in now.braked if not now.suspension else ():
        out.print(f"  {brake.sentence}", style="yellow", markup=False)
    if now.trouble:
        show_trouble(now.trouble.reason, now.trouble.next)
    if now.report:
        out.print(f"  report: {here.shown(now.report)}", markup=False)


def runs(
    limit: int = typer.Option(50, help="List the newest N.", metavar="N", min=1),
    labels: options.OnlyLabel = None,
    as_json: options.Json = False,
    sandbox: options.Sandbox = False,
) -> None:
    """List the runs of the workspace, newest first."""
    having = options.labels_from(labels)
    with session(options.settings_from(sandbox=sandbox)) as here:
        listed = [(side, run) for side in here.sides for run in side.control.runs(limit, having)]
        listed = sorted(listed, key=lambda item: item[1].run_id, reverse=True)[:limit]
        with ThreadPoolExecutor(8) as pool:
            looked = list(pool.map(lambda item: legible_snapshot(*item), listed))
    shown = []
    for (_side, run), (now, why) in zip(listed, looked, strict=True):
        if now is None:
            say(f"Run {run.run_id} cannot be read: {why}", "yellow")
        else:
            shown.append(now)
    if as_json:
        print_json({"runs": [now.model_dump(mode="json") for now in shown]})
        return
    if not shown:
        none = "No run has these labels." if having else "No runs yet. Begin with: restyle run MANIFEST"
        out.print(none if having else f"{none}, or try: restyle demo")
        return
    out.print(table_of(shown, out.width))


def table_of(runs: Sequence[Snapshot], width: int) -> Table:
    """Runs as a table for so many columns; a narrow one leaves out what they were made of, and by whom."""
    from rich.table import Table
    from rich.text import Text

    columns: dict[str, list[str]] = {
        "run": [now.run_id for now in runs],
        "status": [now.status.value + " (sandbox)" * now.sandbox for now in runs],
        "name": [now.name for now in runs],
        "done": [f"{now.succeeded + now.skipped:,}/{now.planned:,}" for now in runs],
        "failed": [f"{now.failed:,}" for now in runs],
        "credits": [amount(now.credits_spent) for now in runs],
    }
    if width >= WIDE:
        columns |= {
            "manifest": [posixpath.basename(now.manifest.uri.rstrip("/")) if now.manifest else "" for now in runs],
            "prompt": [now.prompt for now in runs],
            "by": [now.by for now in runs],
        }
    table = Table(box=None, pad_edge=False, header_style="dim")
    titles = [title for title, cells in columns.items() if any(cells)]
    for title in titles:
        count = title in {"done", "failed", "credits"}
        table.add_column(
            title, justify="right" if count else "left", no_wrap=True, overflow="ellipsis",
            max_width=None if count or title in {"run", "status"} else 32,
            min_width=len(columns[title][0]) if title == "run" else None,
        )  # fmt: skip
    for cells in zip(*(columns[title] for title in titles), strict=True):
        table.add_row(*map(Text, cells))
    return table
