"""status, runs: how the fleet and its runs stand, at a look."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from apps.cli import options
from apps.session import Session, session
from apps.terminal.console import credits_text, out, print_json, say
from apps.terminal.exits import run_code
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
    with session(settings, run_id=run_id) as here:
        if run_id is None:
            fleet_status(here, as_json=as_json)
            return
        now = here.snapshot(here.read(run_id))
        if as_json:
            print_json(now.model_dump(mode="json"))
        else:
            show_refusal(here.refusal())
            show(now, here)
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
        found = [now.model_dump(mode="json") for now in unfinished]
        redis = {"refuses": refusal.message, "next": refusal.next} if refusal else None
        left = here.fleet.credits_left()
        print_json(
            {
                "workers": workers, "suspension": notes, "redis": redis, "credits_left": left, "runs": found,
                "troubles": unseen, "holder": as_object(holder),
            }
        )  # fmt: skip
        return
    show_refusal(refusal)
    out.print(shown(holder, here.workspace.uri, utc_now()), markup=False)
    out.print(
        f"{len(workers)} workers, {sum(now.pending for now in unfinished):,} jobs pending in {len(unfinished)} runs"
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
    unseen, found = here.progress.troubles(), []
    for run in here.control.unfinished():
        now, why = legible_snapshot(here, run)
        if now is None:
            unseen.setdefault(run.run_id, {"reason": why, "next": f"end it: restyle cancel {run.run_id}"})
        else:
            found.append(now)
            unseen.pop(run.run_id, None)
    return found, unseen


def legible_snapshot(here: Session, run: Run) -> tuple[Snapshot | None, str]:
    """A run as it stands now; or why what S3 has of it cannot be read."""
    try:
        return here.snapshot(run), ""
    except (InputNotFound, RunUnreadable) as error:
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
    told = ", ".join(f"{name} ({other})" for name, other in sorted(others.items()))
    return (
        f"Days and months of budgets are counted in {zone}, and these workers have another RESTYLE_TIME_ZONE: {told}."
        " Set it alike for all workers, and restart them"
    )


def show_refusal(refusal: StateUnavailable | None) -> None:
    """What Redis says, where it takes no writes."""
    if refusal:
        out.print(refusal.message, style="yellow", markup=False)
        out.print(f"next: {refusal.next}", style="yellow", markup=False)


def show(now: Snapshot, here: Session) -> None:
    """One run in a few lines."""
    out.print(f"[bold]{now.run_id}[/]  {now.status.value}")
    out.print(
        f"  {now.succeeded:,} succeeded · {now.skipped:,} skipped · {now.failed:,} failed · {now.pending:,} pending"
        f" · {now.planned:,} planned"
        + (f" · {now.invalid:,} invalid" if now.invalid else "")
        + (f" · {now.suspect:,} suspect" if now.suspect else "")
    )
    left = f", {now.credits_left:,.2f} left on the account" if now.credits_left is not None else ""
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
    as_json: options.Json = False,
    sandbox: options.Sandbox = False,
) -> None:
    """List the runs of the workspace, newest first."""
    with session(options.settings_from(sandbox=sandbox)) as here:
        views = [here] if sandbox else [here, here.sandboxed()]
        listed = [(view, run) for view in views for run in view.control.runs(limit)]
        listed = sorted(listed, key=lambda item: item[1].run_id, reverse=True)[:limit]
        with ThreadPoolExecutor(8) as pool:
            looked = list(pool.map(lambda item: legible_snapshot(*item), listed))
    found = []
    for (view, run), (now, why) in zip(listed, looked, strict=True):
        if now is None:
            say(f"Run {run.run_id} cannot be read: {why}", "yellow")
        else:
            found.append((now, view.settings.sandbox))
    if as_json:
        print_json({"runs": [now.model_dump(mode="json") | {"sandbox": sand} for now, sand in found]})
        return
    if not found:
        out.print("No runs yet. Begin with: restyle run MANIFEST, or try: restyle demo")
        return
    out.print(table_of(found, out.width))


def table_of(found: Sequence[tuple[Snapshot, bool]], width: int) -> Table:
    """Runs, each with whether it is a sandbox run, as a table for so many columns; a narrow one tells less."""
    from rich.table import Table

    wide = width >= WIDE
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("run", "status", *(["created"] if wide else [])):
        table.add_column(title, no_wrap=True)
    counts = ("planned", "succeeded", "skipped", "failed", "pending") if wide else ("succeeded", "failed", "pending")
    for title in (*counts, "credits"):
        table.add_column(title, justify="right", no_wrap=True)
    for now, sand in found:
        row = [now.run_id, now.status.value + (" (sandbox)" if sand else "")]
        if wide:
            created: datetime = now.created.astimezone()
            row.append(f"{created:%Y-%m-%d %H:%M %z}")
        table.add_row(*row, *(f"{getattr(now, name):,}" for name in counts), f"{now.credits_spent:,.2f}")
    return table
