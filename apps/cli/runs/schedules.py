"""beat, schedules: runs that start by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice

import typer
from rich.table import Table

from apps.cli import options
from apps.cli.runs import follow
from apps.cli.runs.stack_watch import LONELY
from apps.cli.runs.status import legible_snapshot
from apps.session import Session, is_embedded, session
from apps.stack import environments
from apps.stack.keeper import end_with_parent
from apps.terminal.console import credits_text, out, print_json, say
from apps.terminal.exits import NEEDS_PERSON, WRONG_INPUT
from config.reading import config_path
from config.schedules import Schedule
from config.settings import Settings
from producers.planning.make import make_plan
from producers.runs.listing import read_runs, run_ids
from producers.runs.snapshot import Snapshot
from producers.scheduling.beat import Beat
from producers.scheduling.fired import Fired
from producers.scheduling.schedule import fire, upcoming
from restyle.coordination.runs.firings import Ending, FiringEnd, Firings
from restyle.errors import ConfigurationError, RestyleError
from restyle.run_ids import schedule_of

group = typer.Typer(no_args_is_help=False, invoke_without_command=True, help="List the schedules; check or fire one.")

#: Runs of a schedule that are listed, and what is counted of each.
NIGHTS = 7
_COUNTS = ("succeeded", "skipped", "failed", "pending", "suspect", "in_doubt")

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
        chosen_schedules(settings)
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


def chosen_schedules(settings: Settings, name: str | None = None) -> tuple[Schedule, ...]:
    """The schedules, or the one of this name.

    Raises:
        ConfigurationError: there is none.
    """
    if not settings.schedule:
        raise ConfigurationError(f"{config_path()} has no [[schedule]]; docs/guides/nightly.md shows one")
    chosen = tuple(schedule for schedule in settings.schedule if name in {None, schedule.name})
    if not chosen:
        known = ", ".join(schedule.name for schedule in settings.schedule)
        raise ConfigurationError(f"{config_path()} has no schedule {name}; there are: {known}")
    return chosen


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
        nights = last_nights(here, [schedule.name for schedule in settings.schedule])
        rows = [
            (schedule, last.get(schedule.name) or Fired(here.store, here.workspace).end_of(schedule.name))
            for schedule in settings.schedule
        ]
        waiting = Firings(here.state).waiting()
    now = datetime.now(UTC)
    if as_json:
        objects = [_object(schedule, end, now, nights[schedule.name]) for schedule, end in rows]
        print_json({"schedules": objects, "waiting": waiting})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("schedule", "cron", "time zone", "next", "last", "how"):
        table.add_column(title, no_wrap=title != "how", overflow="fold")
    for schedule, end in rows:
        table.add_row(schedule.name, schedule.cron, schedule.time_zone, _local(schedule, now), *_last_firing(end))
    out.print(table)
    for schedule, _ in rows:
        _show_nights(schedule, nights[schedule.name])
    for run_id in waiting:
        say(f"{run_id} is fired and waits to be planned", "dim")


def last_nights(here: Session, names: Sequence[str]) -> dict[str, list[Snapshot]]:
    """The last runs of each schedule, newest first, as they ended or stand."""
    ids = run_ids(here.store, here.workspace)
    nights: dict[str, list[Snapshot]] = {}
    for name in names:
        own = (run_id for run_id in ids if schedule_of(run_id) == name)
        runs = islice(read_runs(own, here.store, here.workspace), NIGHTS)
        read = (legible_snapshot(here, run)[0] for run in runs)
        nights[name] = [now for now in read if now is not None]
    return nights


def _show_nights(schedule: Schedule, nights: Sequence[Snapshot]) -> None:
    """A line for each of the last nights: when, how it ended, and what it cost."""
    if not nights:
        return
    out.print(f"{schedule.name}, the last {len(nights)}:" if len(nights) > 1 else f"{schedule.name}, the last:")
    for now in nights:
        counts = [f"{getattr(now, name):,} {name}" for name in _COUNTS if getattr(now, name) or name == "succeeded"]
        moment = f"{now.created.astimezone(schedule.zone):%a %Y-%m-%d %H:%M}"
        why = f" ({now.suspension.reason})" if now.suspension else ""
        line = f"  {moment}  {now.status.value}{why}  {' · '.join(counts)} · {now.credits_spent:,.2f} credits"
        out.print(line, style="yellow" if now.failed or now.pending else "", markup=False)


def _night(now: Snapshot) -> dict[str, object]:
    """A night in `schedules --json`."""
    counts = {name: getattr(now, name) for name in (*_COUNTS, "credits_spent")}
    return {"run_id": now.run_id, "status": now.status.value, **counts}


def _local(schedule: Schedule, now: datetime) -> str:
    return f"{next(upcoming(schedule, now)).astimezone(schedule.zone):%Y-%m-%d %H:%M %z}"


def _last_firing(end: FiringEnd | None) -> tuple[str, str]:
    if end is None:
        return "", ""
    return end.run_id, end.ending.value.replace("_", " ") + (f": {end.detail}" if end.detail else "")


def _object(schedule: Schedule, end: FiringEnd | None, now: datetime, nights: Sequence[Snapshot]) -> dict[str, object]:
    return {
        **schedule.model_dump(mode="json", by_alias=True, exclude={"notify"}),
        "next": [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in islice(upcoming(schedule, now), 3)],
        "last": end.model_dump(mode="json") if end else None,
        "nights": [_night(night) for night in nights],
    }


def run_now(
    name: str = typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False),
    labels: options.Label = None,
    sandbox: options.Sandbox = False,
    as_json: options.Json = False,
) -> None:
    """Fire a schedule now, as if its time had come; prints the run's id once it is planned."""
    settings = options.settings_from(sandbox=sandbox)
    (schedule,) = chosen_schedules(settings, name)
    own = [f"{label}={value}" for label, value in schedule.labels.items()]
    with_more = options.labels_from([*own, *(labels or ())])
    with session(settings, worker=True) as here:
        firing = Beat(here.settings, Firings(here.state), here.store, here.workspace).fire_now(name, with_more)
        end = wait_until_closed(firing.run_id, name, here)
        if end is None or end.ending is not Ending.STARTED:
            reason = f"{end.ending.value.replace('_', ' ')}: {end.detail}" if end else "it waits"
            say(f"{firing.run_id} did not start; {reason}", "yellow")
            sys.exit(_code(end))
        run = here.read(firing.run_id)
        if not here.embedded:
            follow.print_submitted(run, here, as_json=as_json)
            return
        code = follow.to_the_end(run, here, as_json=as_json)
    sys.exit(code)


def _code(end: FiringEnd | None) -> int:
    if end is None or end.ending is Ending.SKIPPED:
        return 0
    return WRONG_INPUT if end.ending is Ending.NOT_STARTED else NEEDS_PERSON


def wait_until_closed(run_id: str, name: str, here: Session) -> FiringEnd | None:
    """Waits until a firing is closed; None where it stays in the queue, behind an earlier run or without a worker."""
    firings, lonely_from = Firings(here.state), time.monotonic() + LONELY
    while firings.is_waiting(run_id):
        if time.monotonic() > lonely_from:
            if not any(beat is not None for beat in here.fleet.workers().values()):
                say("No worker is running; it is planned when one comes. Start one: restyle worker", "yellow")
                return None
            if firings.planner(run_id) is None:
                return None
            lonely_from = float("inf")
            say("It is being planned…", "dim")
        time.sleep(0.1)
    end = firings.last().get(name)
    return end if end and end.run_id == run_id else None


def check(sandbox: options.Sandbox = False) -> None:
    """Check the schedules: read each one's manifest as a worker would, count and estimate; spends nothing."""
    settings = options.settings_from(sandbox=sandbox)
    wrong = 0
    with session(settings) as here:
        for schedule in chosen_schedules(settings):
            firing = fire(schedule, datetime.now(UTC), here.settings)
            out.print(f"[bold]{schedule.name}[/]  {schedule.cron} ({schedule.time_zone})")
            times = [f"{moment.astimezone(schedule.zone):%a %Y-%m-%d %H:%M %z}" for moment in _next(schedule)]
            out.print(f"  next: {' · '.join(times)}", markup=False)
            try:
                plan = make_plan(firing.request, here.settings, workspace=here.workspace, store=here.store)
            except RestyleError as error:
                wrong += 1
                out.print(f"  {error.message}", style="red", markup=False)
                continue
            cost = credits_text(plan.estimate.credits, settings.credit_price)
            out.print(f"  {plan.jobs:,} jobs of {plan.entries:,} entries, at most {cost} a run", markup=False)
    sys.exit(WRONG_INPUT if wrong else 0)


def _next(schedule: Schedule) -> list[datetime]:
    return list(islice(upcoming(schedule, datetime.now(UTC)), 3))
