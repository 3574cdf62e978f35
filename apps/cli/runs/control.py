"""watch, suspend, resume, approve, reject, cancel, retry: commands that follow runs or move them."""

from __future__ import annotations

import sys
import time
from typing import NoReturn

import typer

from apps.approving import approve_in_part
from apps.cli import options
from apps.cli.runs import follow
from apps.cli.runs.stack_watch import Minder
from apps.cli.start.choices import Pace, grouped, settings_from
from apps.cli.start.planning import show_plan, spend_or_stop, write_plan
from apps.session import Session, is_embedded, session
from apps.terminal.console import print_json, say
from apps.terminal.exits import WRONG_INPUT, run_code
from apps.terminal.signals import losing_terminal, terminable
from config.settings import Settings
from producers.planning.retry import Slice, plan_retry
from restyle.coordination.advice import next_step
from restyle.errors import ConfigurationError
from restyle.models import ENDED


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("watch")(watch_run)
    app.command(epilog="Examples: restyle suspend · restyle suspend RUN")(suspend)
    app.command(epilog="Examples: restyle resume · restyle resume RUN")(resume)
    app.command(
        epilog="Example: restyle run catalog.csv --sample 12 --then-ask, look at the report, restyle approve RUN"
    )(approve)
    app.command()(reject)
    app.command()(cancel)
    app.command(epilog="Examples: restyle retry RUN · restyle retry RUN --error api_timeout")(retry)


def watch_run(
    run_id: options.RunId,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object a line until the run has ended."),
    sandbox: options.Sandbox = False,
    max_outage: options.MaxOutage = None,
) -> None:
    """Follow a run to its end without touching it."""
    with (
        session(options.settings_from(sandbox=sandbox, max_outage=max_outage), run=run_id) as here,
        terminable(),
        losing_terminal(),
    ):
        run, begun = here.read(here.run_id), time.time()
        if not as_json:
            now = follow.follow(run, here)
            follow.tell(now, here)
        else:
            minder = Minder(run, here)
            for now in follow.snapshots(run, here):
                print_json(now.model_dump(mode="json"))
                if now.ended or follow.needs_person(now, run, here, begun):
                    break
                minder.look(now)
    sys.exit(run_code(now, here.settings))


def suspend(run_id: options.MaybeRunId = None, sandbox: options.Sandbox = False) -> None:
    """Stop the fleet, or one run, before its next call; calls in flight end and are stored."""
    with session(options.settings_from(sandbox=sandbox), run=run_id) as here:
        here.control.suspend(here.run_id or None)
    say(f"Suspended. To go on: restyle resume {here.run_id or ('--sandbox' if sandbox else '')}".rstrip())


@grouped
def resume(
    run_id: options.MaybeRunId = None,
    *,
    detach: bool = typer.Option(False, "--detach", help="Return at once instead of following the run."),
    download: options.Download = None,
    pace: Pace,
    max_outage: options.MaxOutage = None,
    budget: float | None = typer.Option(None, help="Let the run spend up to this.", metavar="CREDITS", min=0),
    max_failures: options.MaxFailures = None,
    max_suspects: options.MaxSuspects = None,
    take_over: options.TakeOver = False,
    sandbox: options.Sandbox = False,
    as_json: options.Json = False,
) -> None:
    """Go on after a suspension: the fleet, or one run, exactly where it stopped."""
    options.check_download(download, detach=detach)
    settings = settings_from(
        pace, max_outage=max_outage, max_failures=max_failures, max_suspects=max_suspects, sandbox=sandbox
    )
    given = {"max_failures": max_failures, "max_suspects": max_suspects}
    limits = {name: str(getattr(settings, name)) for name, text in given.items() if text is not None}
    if run_id is None and budget is not None:
        refuse_budget(settings, budget)
    if run_id is None and is_embedded(settings):
        run_id = _only_unfinished(settings)
    with session(
        settings, worker=run_id is not None, run=run_id, detach=detach, holds=True, take_over=take_over
    ) as here:
        others = follow.hold_leftovers(here, but=here.run_id)
        run = here.control.resume(here.run_id or None, budget=budget, limits=limits)
        if run is None:
            say("The fleet goes on.")
            tell_standing(here)
            return
        follow.name_others(others, here, but=run.run_id)
        code = follow.follow_or_detach(run, here, detach=detach, as_json=as_json, download=download)
    sys.exit(code)


def refuse_budget(settings: Settings, budget: float) -> NoReturn:
    """Says that a budget is for one run, and which there are.

    Raises:
        ConfigurationError: always.
    """
    with session(settings) as here:
        unfinished = [run.run_id for side in here.sides for run in side.control.unfinished()]
    what = " or ".join(f"restyle resume {run_id} --budget {budget:g}" for run_id in unfinished[:3])
    raise ConfigurationError(
        f"--budget is for one run, and no run is named. Type: {what}"
        if what
        else "--budget is for one run, and no run"
        " is unfinished; the budgets of a day and a month are RESTYLE_DAILY_BUDGET and RESTYLE_MONTHLY_BUDGET"
    )


def tell_standing(here: Session) -> None:
    """Which runs stand still all the same, each with what to type."""
    for run in here.control.unfinished():
        for standing in here.progress.suspensions(run.run_id):
            say(f"Run {run.run_id} stays suspended ({standing.reason}): {standing.detail}", "yellow")
            say(f"Next: {next_step(standing, run.run_id, budget=run.budget, waits=run.wait_credits)}")


def _only_unfinished(settings: Settings) -> str:
    """The one run that an embedded `resume` without a name can mean; what suspends the fleet is lifted for any."""
    is_lifted = False
    with session(settings) as here:
        for side in here.sides:
            if side.control.keep_suspended():
                side.control.resume(None)
                is_lifted = True
        unfinished = [run.run_id for side in here.sides for run in side.control.unfinished()]
    if len(unfinished) == 1:
        return unfinished[0]
    if is_lifted:
        say("The fleet goes on.")
    say("Nothing is unfinished." if not unfinished else "Which one? restyle resume " + " | ".join(unfinished))
    sys.exit(0 if is_lifted or not unfinished else WRONG_INPUT)


@grouped
def approve(
    run_id: options.RunId,
    *,
    detach: bool = typer.Option(False, "--detach", help="Return at once instead of following the run."),
    pace: Pace,
    max_outage: options.MaxOutage = None,
    sandbox: options.Sandbox = False,
    as_json: options.Json = False,
    only: list[str] = typer.Option(
        [], "--variant", help="Only the rest of this variant, in a new run; this one ends. Repeatable.", metavar="NAME"
    ),
) -> None:
    """Let the rest of a run follow its sample; the sample is not repeated."""
    settings = settings_from(pace, max_outage=max_outage, sandbox=sandbox)
    with session(settings, worker=True, run=run_id, detach=detach) as here:
        others = follow.hold_leftovers(here, but=here.run_id)
        if only:
            with here.driving.planning():
                run = approve_in_part(here, here.read(here.run_id), only, here.control.by)
        else:
            run = here.control.approve(here.run_id)
        follow.name_others(others, here, but=run.run_id)
        code = follow.follow_or_detach(run, here, detach=detach, as_json=as_json)
    sys.exit(code)


def reject(run_id: options.RunId, sandbox: options.Sandbox = False, as_json: options.Json = False) -> None:
    """End a run after its sample; what is done stays done."""
    _end(run_id, "rejected", sandbox=sandbox, as_json=as_json)


def cancel(run_id: options.RunId, sandbox: options.Sandbox = False, as_json: options.Json = False) -> None:
    """End a run: calls in flight end and are stored, the rest stays undone."""
    _end(run_id, "cancelled", sandbox=sandbox, as_json=as_json)


def _end(run_id: str, what: str, *, sandbox: bool, as_json: bool) -> None:
    with session(options.settings_from(sandbox=sandbox), run=run_id, holds=True) as here:
        run = here.control.cancel(here.run_id, what=what)
        if as_json:
            print_json(here.snapshot(run).model_dump(mode="json"))
    say(f"{what.capitalize()} {run.run_id}; what is done stays done.")


@grouped
def retry(
    run_id: options.RunId,
    *,
    statuses: list[str] = typer.Option(
        ["failed"],
        "--status",
        help="Which jobs: failed, suspect (with other seeds), pending, succeeded, skipped; repeatable.",
        metavar="STATUS",
    ),
    pace: Pace,
    sandbox: options.Sandbox = False,
    detach: bool = typer.Option(False, "--detach", help="Leave the run going and return."),
    errors: list[str] = typer.Option([], "--error", help="Only jobs that failed so; repeatable.", metavar="CODE"),
    only_ids: options.OnlyIds = None,
    unreadable: bool = typer.Option(
        False, "--unreadable", help="Read paid answers that are kept, or were fetched by reconcile; no call."
    ),
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Run the failed jobs of a run again, as they were planned, in a new run."""
    chosen = Slice(frozenset(statuses), frozenset(errors), options.read_ids(only_ids), unreadable)
    chosen.check()
    settings = settings_from(pace, sandbox=sandbox)
    with session(settings, worker=True, run=run_id, detach=detach) as here:
        old = here.read(here.run_id)
        if old.status not in ENDED:
            say(f"Run {old.run_id} is not over yet; to go on with it: restyle resume {old.run_id}", "red")
            sys.exit(2)
        plan = plan_retry(old, here.rows(old), chosen, here.settings, workspace=here.workspace, store=here.store)
        if not plan.jobs:
            for warning in plan.warnings:
                say(f"warning: {warning}", "yellow")
            among = " among those ids" * bool(only_ids)
            what = "with a kept answer" if unreadable else f"that is {' or '.join(statuses)}"
            say(f"Run {old.run_id} has no job {what}{among}.")
            return
        show_plan(plan, here.settings)
        spend_or_stop(plan, here.settings, yes=yes or unreadable)  # which spends nothing
        follow.name_others(follow.hold_leftovers(here), here, but="")
        with here.driving.planning():
            run = write_plan(plan, here)
            follow.submit(run, here, detach=detach)
        code = follow.follow_or_detach(run, here, detach=detach, as_json=as_json)
    sys.exit(code)
