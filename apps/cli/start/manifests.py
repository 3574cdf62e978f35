"""run, submit: commands that begin with a manifest."""

from __future__ import annotations

import sys

import typer

from apps.cli import options
from apps.cli.processes.dashboard import beside
from apps.cli.runs import follow
from apps.cli.start.choices import (
    Checks,
    Choice,
    Course,
    Limits,
    Outputs,
    Pace,
    Reading,
    grouped,
    request_from,
    settings_from,
)
from apps.cli.start.planning import (
    continued,
    open_plan,
    show_plan,
    spend_or_stop,
    write_plan,
)
from apps.session import Session, is_embedded, require_key, session
from apps.starting import looked_into
from apps.terminal.console import say
from apps.terminal.exits import WRONG_INPUT
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from restyle.errors import ConfigurationError
from restyle.models import Run


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(
        epilog="Examples: restyle run catalog.csv --variants styles.json · restyle run photos/ --prompt 'watercolor'"
        " --sandbox · restyle run s3://shop/images/ --prompt 'studio photo of {id}' --limit 20"
    )(run)
    app.command(epilog="Example: restyle submit s3://shop/catalog.csv --variants styles.json --yes")(submit)


@grouped
def run(
    manifest: options.Manifest,
    choice: Choice,
    checks: Checks,
    limits: Limits,
    course: Course,
    reading: Reading,
    *,
    max_side: options.MaxSide = None,
    outputs: Outputs,
    pace: Pace,
    max_outage: options.MaxOutage = None,
    sandbox: options.Sandbox = False,
    download: options.Download = None,
    detach: bool = typer.Option(False, "--detach", help="Leave the run going and return."),
    dashboard: options.Dashboard = False,
    new: bool = typer.Option(False, "--new", help="Plan afresh, even where the same run is unfinished."),
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Restyle every image of a manifest: plan, call, store, report."""
    settings = settings_from(
        choice, limits, course, outputs, pace, max_side=max_side, max_outage=max_outage, sandbox=sandbox
    )
    require_key(settings)
    if dashboard and detach:
        raise ConfigurationError("--dashboard lasts as long as the run is followed: leave out --detach, or type"
                                 " restyle dashboard")  # fmt: skip
    options.check_download(download, detach=detach)
    request = request_from(manifest, choice, checks, limits, course, reading)
    plan = open_plan(request, settings)
    with session(settings, worker=True, detach=detach) as here, beside(settings, is_shown=dashboard) as page:
        run = begin(request, plan, here, yes=yes, new=new, detach=detach)
        code = follow.follow_or_detach(run, here, detach=detach, as_json=as_json, download=download)
        page.stay(code)
    sys.exit(code)


def begin(request: PlanRequest, plan: Plan | None, here: Session, *, yes: bool, new: bool, detach: bool) -> Run:
    """The unfinished run of the same plan, or a new one: plans, asks, writes and submits."""
    others = follow.hold_leftovers(here)
    plan = plan or open_plan(request, here.settings, here)
    assert plan is not None
    run = None if new else continued(plan, here)
    if run is None:
        plan, clashes = looked_into(plan, here)
        show_plan(plan, here.settings)
        spend_or_stop(plan, here.settings, yes=yes, clashes=clashes)
        with here.driving.planning():
            # Another command of this folder may have begun it, while this one drafted or its person thought.
            run = None if new else continued(plan, here)
            if run is None:
                run = write_plan(plan, here)
                follow.submit(run, here, detach=detach)
    follow.name_others(others, here, but=run.run_id)
    return run


@grouped
def submit(
    manifest: options.Manifest,
    choice: Choice,
    checks: Checks,
    limits: Limits,
    course: Course,
    reading: Reading,
    *,
    max_side: options.MaxSide = None,
    outputs: Outputs,
    sandbox: options.Sandbox = False,
    new: bool = typer.Option(False, "--new", help="Plan afresh, even where the same run is unfinished."),
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Hand a manifest to a running fleet and print the run's id."""
    settings = settings_from(choice, limits, course, outputs, max_side=max_side, sandbox=sandbox)
    if is_embedded(settings):
        say(f"There is no fleet (RESTYLE_REDIS_URL is not set). To run here and now: restyle run {manifest}", "red")
        sys.exit(WRONG_INPUT)
    request = request_from(manifest, choice, checks, limits, course, reading)
    with session(settings, holds=True) as here:
        run = begin(request, None, here, yes=yes, new=new, detach=True)
        follow.print_submitted(run, here, as_json=as_json)
