"""try: prompts and parameters compared on a few entries, before a catalog is paid for."""

from __future__ import annotations

import sys

import typer

from apps.cli import options
from apps.cli.processes.dashboard import beside
from apps.cli.results.reports import open_report
from apps.cli.runs import follow
from apps.cli.start.choices import Pace, Reading, grouped, request_from, settings_from
from apps.cli.start.manifests import begin
from apps.cli.start.planning import open_plan
from apps.session import Session, require_key, session
from apps.terminal.console import say
from producers.planning.request import TrialRequest
from reports.pages.grid import GRID
from restyle.errors import ConfigurationError
from restyle.models import Run


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "try",
        epilog="Examples: restyle try catalog.csv --prompt 'on an oak table' --prompt 'by the sea' --axis"
        " strength=0.3,0.5,0.7 · restyle try photos/ --prompts prompts.txt --axis 'scheduler=UniPC,DDIM' --seeds 2",
    )(try_out)


@grouped
def try_out(
    manifest: options.Manifest,
    *,
    prompt: list[str] = typer.Option([], "--prompt", help="A prompt to try; repeatable.", metavar="TEXT"),
    prompts: str = typer.Option(
        "", "--prompts", help="Prompts to try: a .txt file with one a line, or a variants file.", metavar="FILE"
    ),
    axis: list[str] = typer.Option(
        [],
        "--axis",
        help="A parameter and the values to try, e.g. strength=0.3,0.5; repeatable.",
        metavar="NAME=VALUES",
    ),
    entries: int | None = typer.Option(
        None, "--entries", help="Entries to try it on, spread over folders and kinds; 6, if not given.", metavar="N"
    ),
    only_ids: options.OnlyIds = None,
    seeds: int = typer.Option(
        1, "--seeds", help="Pictures of each entry in a column, each with a seed that all columns share.", metavar="N"
    ),
    sets: options.Sets = None,
    skip_invalid: options.SkipInvalid = False,
    budget: options.Budget = None,
    max_duration: options.MaxDuration = None,
    name: options.Name = "",
    labels: options.Label = None,
    reading: Reading,
    max_side: options.MaxSide = None,
    pace: Pace,
    sandbox: options.Sandbox = False,
    detach: bool = typer.Option(False, "--detach", help="Leave the trial going and return."),
    dashboard: options.Dashboard = False,
    open_page: bool = typer.Option(False, "--open", help="Open the grid in a browser."),
    new: bool = typer.Option(False, "--new", help="Plan afresh, even where the same trial is unfinished."),
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Try prompts and parameters on a few pictures, side by side in one grid; what it pays for, a run reuses."""
    settings = settings_from(pace, max_side=max_side, sandbox=sandbox)
    require_key(settings)
    if detach and (dashboard or open_page):
        raise ConfigurationError("--dashboard and --open need the trial's end: leave out --detach")
    request = request_from(
        manifest, reading, sets=sets, only_ids=only_ids, skip_invalid=skip_invalid, budget=budget,
        max_duration=max_duration, priority="high", name=name, labels=labels,
        trial=TrialRequest(tuple(prompt), prompts, tuple(axis), entries, seeds),
    )  # fmt: skip
    plan = open_plan(request, settings)
    with session(settings, worker=True, detach=detach) as here, beside(settings, is_shown=dashboard) as page:
        run = begin(request, plan, here, yes=yes, new=new, detach=detach)
        if detach:
            follow.print_submitted(run, here, as_json=as_json)
            return
        code = follow.to_the_end(run, here, as_json=as_json)
        show_grid(run, here, open_page=open_page)
        page.stay(code)
    sys.exit(code)


def show_grid(run: Run, here: Session, *, open_page: bool) -> None:
    """Says where the grid is, where the trial has come to its end."""
    uri = here.workspace.run(run.run_id, GRID)
    if here.store.head(uri) is None:
        say(f"The grid is written at the end; of the trial so far: restyle report {run.run_id}", "dim")
        return
    say(f"The grid: {here.shown(uri)}", "bold")
    if open_page:
        open_report(run, here)
    elif here.shown(uri) == uri:
        say(f"To look at it: restyle report {run.run_id} --open", "dim")
