"""beat, schedules: runs that start by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import islice

import typer
from rich.table import Table

from apps.cli import follow, options
from apps.cli.minding import LONELY
from apps.session import Session, is_embedded, session
from apps.stack import environments
from apps.stack.keeper import end_with_parent
from apps.terminal.console import credits_text, out, print_json, say
from apps.terminal.exits import NEEDS_PERSON, WRONG_INPUT
from config.reading import config_path
from config.schedules import Schedule
from config.settings import Settings
from producers.planning.plan import draft
from producers.scheduling.beat import Beat
from producers.scheduling.fired import Fired
from producers.scheduling.schedule import fire, upcoming
from restyle.coordination.firings import Ending, Firings, Settled
from restyle.errors import ConfigurationError, RestyleError

group = typer.Typer(no_args_is_help=False, invoke_without_command=True, help="List the schedules; check or fire one.")

#: Celery's own command, which looks for modules in the current folder first: ours are there before it looks.
COMMAND = [
    sys.executable, "-P", "-c", "import workers.beat; from celery.__main__ import main; main()",
    "-A", "workers.beat", "beat", "--scheduler", "workers.beat:Scheduler",
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Schedules stand in restyle.toml; look at them with: restyle schedules")(beat)
    group.callback()(schedules)
    group.command("run", epilog="Example: restyle schedules run nightly")(run_now)
    group.command("check")(check)
    app.add_typer(group, name="schedules")


def beat(sandbox: options.Sandbox = False) -> None:
    """Start the runs of restyle.toml's schedules when they are due, until told to stop; any number may run at once."""
    settings = options.settings_from(sandbox=sandbox)
    if settings.health_address is None:  # a beat that tells the fleet's figures is of use without a schedule too
        wanted(settings)
    if not is_embedded(settings):
        command = [*COMMAND, "--loglevel", settings.log_level]
        os.execve(sys.executable, command, environments.of_beat(settings))  # noqa: S606 - becomes the beat
    # The worker holds the workspace once something is due.
    with session(settings, worker=True, holds=False) as here:
        say(f"The schedules run here, with a worker of their own; its log: {settings.home / 'logs' / 'worker.log'}")
        sys.exit(_mind(here.settings))


def _mind(settings: Settings) -> int:
    """Runs a beat beside the embedded stack until one of the two ends; answers with the exit code."""
    env = environments.of_beat(settings)
    # The worker beside it tells the same figures, and has taken the address.
    env.pop("RESTYLE_HEALTH_ADDRESS", None)
    process = subprocess.Popen(
        COMMAND, env=env, start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - it only asks to end with this process
    )  # fmt: skip
    try:
        return process.wait()
    except KeyboardInterrupt:
        say("Stopping; calls in flight end first.", "bold")
        return 0
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def wanted(settings: Settings, name: str | None = None) -> tuple[Schedule, ...]:
    """The schedules, or the one of this name.

    Raises:
        ConfigurationError: there is none.
    """
    if not settings.schedule:
        raise ConfigurationError(f"{config_path()} has no [[schedule]]; docs/guides/nightly.md shows one")
    found = tuple(schedule for schedule in settings.schedule if name in {None, schedule.name})
    if not found:
        known = ", ".join(schedule.name for schedule in settings.schedule)
        raise ConfigurationError(f"{config_path()} has no schedule {name}; there are: {known}")
    return found


# -- restyle schedules -------------------------------------------------------------------------------------


def schedules(context: typer.Context, as_json: options.Json = False, sandbox: options.Sandbox = False) -> None:
    """List the schedules with their last and next run."""
    if context.invoked_subcommand is not None:
        return
    settings = options.settings_from(sandbox=sandbox)
    if not settings.schedule:
        say(f"{config_path()} has no [[schedule]].")
    with session(settings) as here:
        last = Firings(here.state).last()
        rows = [
            (schedule, last.get(schedule.name) or Fired(here.store, here.workspace).settled(schedule.name))
            for schedule in settings.schedule
        ]
        waiting = Firings(here.state).waiting()
    now = datetime.now(UTC)
    if as_json:
        print_json({"schedules": [_object(schedule, settled, now) for schedule, settled in rows], "waiting": waiting})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("schedule", "cron", "time zone", "next", "last", "how"):
        table.add_column(title, no_wrap=title != "how", overflow="fold")
    for schedule, settled in rows:
        table.add_row(schedule.name, schedule.cron, schedule.time_zone, _local(schedule, now), *_told(settled))
    out.print(table)
    for run_id in waiting:
        say(f"{run_id} is fired and waits to be planned", "dim")


def _local(schedule: Schedule, now: datetime) -> str:
    return f"{next(upcoming(schedule, now)).astimezone(schedule.zone):%Y-%m-%d %H:%M %z}"


def _told(settled: Settled | None) -> tuple[str, str]:
    if settled is None:
        return "", ""
    return settled.run_id, settled.ending.value.replace("_", " ") + (f": {settled.detail}" if settled.detail else "")


def _object(schedule: Schedule, settled: Settled | None, now: datetime) -> dict[str, object]:
    return {
        **schedule.model_dump(mode="json", by_alias=True, exclude={"notify"}),
        "next": [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in islice(upcoming(schedule, now), 3)],
        "last": settled.model_dump(mode="json") if settled else None,
    }


def run_now(
    name: str = typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False),
    sandbox: options.Sandbox = False,
    as_json: options.Json = False,
) -> None:
    """Fire a schedule now, as if its time had come; prints the run's id once it is planned."""
    settings = options.settings_from(sandbox=sandbox)
    wanted(settings, name)
    with session(settings, worker=True) as here:
        firing = Beat(here.settings, Firings(here.state), here.store, here.workspace).fire_now(name)
        settled = settle(firing.run_id, name, here)
        if settled is None or settled.ending is not Ending.STARTED:
            reason = f"{settled.ending.value.replace('_', ' ')}: {settled.detail}" if settled else "it waits"
            say(f"{firing.run_id} did not start; {reason}", "yellow")
            sys.exit(_code(settled))
        run = here.read(firing.run_id)
        if not here.embedded:
            follow.print_submitted(run, here, as_json=as_json)
            return
        code = follow.to_the_end(run, here, as_json=as_json)
    sys.exit(code)


def _code(settled: Settled | None) -> int:
    if settled is None or settled.ending is Ending.SKIPPED:
        return 0
    return WRONG_INPUT if settled.ending is Ending.NOT_STARTED else NEEDS_PERSON


def settle(run_id: str, name: str, here: Session) -> Settled | None:
    """Waits until a firing is settled; None where it stays in the queue, behind an earlier run or without a worker."""
    firings, said = Firings(here.state), time.monotonic() + LONELY
    while firings.is_waiting(run_id):
        if time.monotonic() > said:
            if not any(beat is not None for beat in here.fleet.workers().values()):
                say("No worker is running; it is planned when one comes. Start one: restyle worker", "yellow")
                return None
            if firings.planner(run_id) is None:
                return None
            said = float("inf")
            say("It is being planned…", "dim")
        time.sleep(0.1)
    settled = firings.last().get(name)
    return settled if settled and settled.run_id == run_id else None


def check(sandbox: options.Sandbox = False) -> None:
    """Check the schedules: read each one's manifest as a worker would, count and estimate; spends nothing."""
    settings = options.settings_from(sandbox=sandbox)
    wrong = 0
    with session(settings) as here:
        for schedule in wanted(settings):
            firing = fire(schedule, datetime.now(UTC), here.settings)
            out.print(f"[bold]{schedule.name}[/]  {schedule.cron} ({schedule.time_zone})")
            times = [f"{moment.astimezone(schedule.zone):%a %Y-%m-%d %H:%M %z}" for moment in _next(schedule)]
            out.print(f"  next: {' · '.join(times)}", markup=False)
            try:
                plan = draft(firing.request, here.settings, workspace=here.workspace, store=here.store)
            except RestyleError as error:
                wrong += 1
                out.print(f"  {error.message}", style="red", markup=False)
                continue
            cost = credits_text(plan.estimate.credits, settings.credit_price)
            out.print(f"  {plan.jobs:,} jobs of {plan.entries:,} entries, at most {cost} a run", markup=False)
    sys.exit(WRONG_INPUT if wrong else 0)


def _next(schedule: Schedule) -> list[datetime]:
    return list(islice(upcoming(schedule, datetime.now(UTC)), 3))
