"""status, watch, runs, suspend, resume, cancel, retry: commands about runs that exist."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import typer
from rich.table import Table

from apps.cli import follow, options
from apps.cli.console import credits_text, out, print_json, say
from apps.cli.exits import run_code
from apps.cli.planning import show_draft, spend_or_stop, write_plan
from apps.cli.session import Session, is_embedded, session
from producers.retry import Slice, retry_draft
from producers.watch import Snapshot, watch
from restyle.models import ENDED

#: Columns of a terminal from which on `runs` tells everything.
WIDE = 130


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(status)
    app.command("watch")(watch_run)
    app.command()(runs)
    app.command(epilog="Examples: restyle suspend · restyle suspend RUN")(suspend)
    app.command(epilog="Examples: restyle resume · restyle resume RUN")(resume)
    app.command(
        epilog="Example: restyle run catalog.csv --sample 12 --then-ask, look at the report, restyle approve RUN"
    )(approve)
    app.command()(reject)
    app.command()(cancel)
    app.command(epilog="Examples: restyle retry RUN · restyle retry RUN --error api_timeout")(retry)


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
            show(now, here)
        if exit_code:
            sys.exit(run_code(now))


def fleet_status(here: Session, *, as_json: bool) -> None:
    """Workers, suspension, and the runs that have not ended."""
    unfinished = [here.snapshot(run) for run in here.control.unfinished()]
    workers = {name: beat for name, beat in here.fleet.workers().items() if beat is not None}
    suspended = here.fleet.suspensions()
    if as_json:
        notes = [
            {"scope": s.scope, "reason": s.reason, "detail": s.detail, "by": s.by, "next": s.next} for s in suspended
        ]
        found = [now.model_dump(mode="json") for now in unfinished]
        print_json({"workers": workers, "suspension": notes, "credits_left": here.fleet.credits_left(), "runs": found})
        return
    out.print(
        f"{len(workers)} workers, {sum(now.pending for now in unfinished):,} jobs pending in {len(unfinished)} runs"
    )
    for reason in suspended:
        out.print(f"suspended ({reason.reason}): {reason.detail}", style="yellow", markup=False)
        out.print(f"next: {reason.next}", style="yellow", markup=False)
    for now in unfinished:
        show(now, here)


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
    if now.report:
        out.print(f"  report: {here.shown(now.report)}", markup=False)


def watch_run(
    run_id: options.RunId,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object a line until the run has ended."),
    sandbox: options.Sandbox = False,
    max_outage: options.MaxOutage = None,
) -> None:
    """Follow a run to its end without touching it."""
    with (
        session(options.settings_from(sandbox=sandbox, max_outage=max_outage), run_id=run_id) as here,
        follow.terminable(),
    ):
        run = here.read(run_id)
        if not as_json:
            now = follow.follow(run, here)
            follow.tell(now, here)
        else:
            for now in watch(run, store=here.store, workspace=here.workspace, progress=here.progress, fleet=here.fleet):
                print_json(now.model_dump(mode="json"))
                if follow.needs_person(now, here):
                    break
    sys.exit(run_code(now))


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
            found = list(pool.map(lambda item: (item[0].snapshot(item[1]), item[0].settings.sandbox), listed))
    if as_json:
        print_json({"runs": [now.model_dump(mode="json") | {"sandbox": sand} for now, sand in found]})
        return
    if not found:
        out.print("No runs yet. Begin with: restyle run MANIFEST, or try: restyle demo")
        return
    out.print(table_of(found, out.width))


def table_of(found: Sequence[tuple[Snapshot, bool]], width: int) -> Table:
    """Runs, each with whether it is a sandbox run, as a table for so many columns; a narrow one tells less."""
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


def suspend(run_id: options.MaybeRunId = None, sandbox: options.Sandbox = False) -> None:
    """Stop the fleet, or one run, before its next call; calls in flight end and are stored."""
    with session(options.settings_from(sandbox=sandbox), run_id=run_id) as here:
        here.control.suspend(run_id)
    say(f"Suspended. To go on: restyle resume {run_id or ''}".rstrip())


def resume(
    run_id: options.MaybeRunId = None,
    detach: bool = typer.Option(False, "--detach", help="Return at once instead of following the run."),
    download: options.Download = None,
    concurrency: options.Concurrency = None,
    api: options.Api = None,
    max_rpm: options.MaxRpm = None,
    max_outage: options.MaxOutage = None,
    budget: float | None = typer.Option(None, help="Let the run spend up to this.", metavar="CREDITS", min=0),
    sandbox: options.Sandbox = False,
    as_json: options.Json = False,
) -> None:
    """Go on after a suspension: the fleet, or one run, exactly where it stopped."""
    options.check_download(download, detach=detach)
    settings = options.settings_from(
        sandbox=sandbox, concurrency=concurrency, api=api, max_rpm=max_rpm, max_outage=max_outage
    )
    if run_id is None and is_embedded(settings):
        run_id = _only_unfinished(settings.sandbox)
    with session(settings, worker=run_id is not None, run_id=run_id, detach=detach) as here:
        run = here.control.resume(run_id, budget=budget)
        if run is None:
            say("The fleet goes on.")
            return
        if here.embedded:
            follow.leave_others(here, but=run)
        if detach:
            follow.print_submitted(run, here, as_json=as_json)
            return
        code = follow.to_the_end(run, here, as_json=as_json, download=download)
    sys.exit(code)


def _only_unfinished(sandbox: bool) -> str | None:
    """The one run that an embedded `resume` without a name can mean."""
    with session(options.settings_from(sandbox=sandbox)) as here:
        views = [here] if sandbox else [here, here.sandboxed()]
        found = [run.run_id for view in views for run in view.control.unfinished()]
    if len(found) == 1:
        return found[0]
    say("Nothing is unfinished." if not found else "Which one? restyle resume " + " | ".join(found))
    sys.exit(0 if not found else 2)


def approve(
    run_id: options.RunId,
    detach: bool = typer.Option(False, "--detach", help="Return at once instead of following the run."),
    concurrency: options.Concurrency = None,
    api: options.Api = None,
    max_rpm: options.MaxRpm = None,
    max_outage: options.MaxOutage = None,
    sandbox: options.Sandbox = False,
    as_json: options.Json = False,
) -> None:
    """Let the rest of a run follow its sample; the sample is not repeated."""
    settings = options.settings_from(
        sandbox=sandbox, concurrency=concurrency, api=api, max_rpm=max_rpm, max_outage=max_outage
    )
    with session(settings, worker=True, run_id=run_id, detach=detach) as here:
        run = here.control.approve(run_id)
        if detach:
            follow.print_submitted(run, here, as_json=as_json)
            return
        code = follow.to_the_end(run, here, as_json=as_json)
    sys.exit(code)


def reject(run_id: options.RunId, sandbox: options.Sandbox = False, as_json: options.Json = False) -> None:
    """End a run after its sample; what is done stays done."""
    _end(run_id, "rejected", sandbox=sandbox, as_json=as_json)


def cancel(run_id: options.RunId, sandbox: options.Sandbox = False, as_json: options.Json = False) -> None:
    """End a run: calls in flight end and are stored, the rest stays undone."""
    _end(run_id, "cancelled", sandbox=sandbox, as_json=as_json)


def _end(run_id: str, what: str, *, sandbox: bool, as_json: bool) -> None:
    with session(options.settings_from(sandbox=sandbox), run_id=run_id) as here:
        run = here.control.cancel(run_id, what=what)
        if as_json:
            print_json(here.snapshot(run).model_dump(mode="json"))
    say(f"{what.capitalize()} {run_id}; what is done stays done.")


def retry(
    run_id: options.RunId,
    statuses: list[str] = typer.Option(
        ["failed"],
        "--status",
        help="Which jobs: failed, suspect (with other seeds), pending, succeeded, skipped; repeatable.",
        metavar="STATUS",
    ),
    concurrency: options.Concurrency = None,
    api: options.Api = None,
    max_rpm: options.MaxRpm = None,
    sandbox: options.Sandbox = False,
    detach: bool = typer.Option(False, "--detach", help="Leave the run going and return."),
    errors: list[str] = typer.Option([], "--error", help="Only jobs that failed so; repeatable.", metavar="CODE"),
    only_ids: options.OnlyIds = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Run the failed jobs of a run again, as they were planned, in a new run."""
    wanted = Slice(frozenset(statuses), frozenset(errors), options.read_ids(only_ids))
    wanted.check()
    settings = options.settings_from(sandbox=sandbox, concurrency=concurrency, api=api, max_rpm=max_rpm)
    with session(settings, worker=True, run_id=run_id, detach=detach) as here:
        old = here.read(run_id)
        if old.status not in ENDED:
            say(f"Run {run_id} is not over yet; to go on with it: restyle resume {run_id}", "red")
            sys.exit(2)
        plan = retry_draft(old, here.rows(old), wanted, here.settings, workspace=here.workspace)
        if not plan.jobs:
            for warning in plan.warnings:
                say(f"warning: {warning}", "yellow")
            say(f"Run {run_id} has no job that is {' or '.join(statuses)}{' among those ids' * bool(only_ids)}.")
            return
        show_draft(plan, here.settings)
        spend_or_stop(plan, here.settings, yes=yes)
        if here.embedded:
            follow.leave_others(here)
        run = write_plan(plan, here)
        here.control.submit(run, here.feeder)
        if detach:
            follow.print_submitted(run, here, as_json=as_json)
            return
        code = follow.to_the_end(run, here, as_json=as_json)
    sys.exit(code)
