"""Following a run to its end: progress while it moves, a clean stop on Ctrl-C, and what there is to say afterwards."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from apps.cli.runs import failures
from apps.cli.runs.progress_line import live_progress
from apps.cli.runs.stack_watch import Away, Minder, StackEnded
from apps.session import Session
from apps.terminal.console import credits_text, print_json, say, talk
from apps.terminal.exits import UNREACHABLE, exit_code, run_code
from apps.terminal.signals import is_urgent, losing_terminal, terminable
from producers.runs.reasons import Reason
from producers.runs.snapshot import Snapshot, watch
from reports.copies.mirror import Mirror
from reports.missing import find_missing
from restyle.errors import ConfigurationError, RestyleError, StateUnavailable, StoreUnavailable
from restyle.models import Run, RunStatus

#: Seconds between two looks whether Redis takes writes.
LOOK_AT_REDIS = 2.0


def to_the_end(run: Run, here: Session, *, as_json: bool, download: Path | None = None) -> int:
    """Follows a run until it has ended or needs a person; answers with the exit code."""
    here.driving.take(run.run_id)
    with terminable(), mirrored(run, here, download):
        try:
            with losing_terminal():
                last = follow(run, here)
        except KeyboardInterrupt as stop:
            return interrupted(run, here, stop, as_json=as_json)
    why = tell(last, here)
    if last.skipped and last.ended:
        tell_missing(run, here)
    if as_json:
        print_json(last.model_dump(mode="json") | {"reasons": [reason.model_dump() for reason in why]})
    return run_code(last, here.settings)


def follow_or_detach(run: Run, here: Session, *, detach: bool, as_json: bool, download: Path | None = None) -> int:
    """Follows a run to its end, or leaves it going; answers with the exit code."""
    if detach:
        print_submitted(run, here, as_json=as_json)
    return 0 if detach else to_the_end(run, here, as_json=as_json, download=download)


def tell_missing(run: Run, here: Session) -> None:
    """Says where pictures of done jobs are gone, which no run notices by itself."""
    try:
        missing = find_missing(here.rows(run), here.store)
    except RestyleError:
        return  # a look that is worth no trouble
    if missing.uris:
        say(
            f"{len(missing.uris):,} of {missing.looked_at:,} pictures of skipped jobs are not there any more, such as"
            f" {here.shown(missing.uris[0])}. To make them again: add --verify-outputs",
            "yellow",
        )


@contextmanager
def mirrored(run: Run, here: Session, directory: Path | None) -> Iterator[None]:
    """Copies the run's pictures to a folder while it is followed, and what has arrived by then at the end."""
    if directory is None:
        yield
        return
    mirror = Mirror(run, directory, store=here.store, workspace=here.workspace, progress=here.progress)
    mirror.start()
    try:
        yield
    finally:
        mirror.stop(at_once=is_urgent())
        counts = " · ".join(f"{count:,} {state}" for state, count in sorted(mirror.counts.items()))
        say(f"{directory}: {counts or 'no picture yet'}")
        if mirror.trouble:
            say(f"Copying stopped: {mirror.trouble}", "yellow")
            say(f"To copy the rest: restyle download {run.run_id} {directory}", "yellow")


def follow(run: Run, here: Session) -> Snapshot:
    """Shows the run's progress; the last snapshot is taken when no call is out any more.

    Raises:
        StackEnded: the embedded stack was stopped.
        RestyleError: no worker is there, and none will come.
        StateUnavailable, StoreUnavailable: Redis or S3 has been away for too long.
    """
    minder = Minder(run, here)
    begun, looked = time.time(), time.monotonic()
    here.state.spells.listen(tell_spell)
    with live_progress(run, here) as show:
        for now in snapshots(run, here):
            show(now)
            if time.monotonic() - looked > LOOK_AT_REDIS:
                looked = time.monotonic()
                here.refusal()  # which is printed once
            if now.ended or needs_person(now, run, here, begun):
                break
            minder.look(now)
        if not now.ended:
            wait_for_calls(run, here)
            now = here.snapshot(run)
            show(now)
    return now


def snapshots(run: Run, here: Session) -> Iterator[Snapshot]:
    """Snapshots of a run; a Redis or S3 that goes away for a while does not end the watching."""
    away: Away | None = None
    while True:
        try:
            for now in watch(run, store=here.store, workspace=here.workspace, progress=here.progress, fleet=here.fleet):
                away = None
                yield now
        except (StateUnavailable, StoreUnavailable) as error:
            away = away or Away(run, here)
            away.bear(error)
        else:
            return


def tell_spell(spell: StateUnavailable | None, _seconds: float) -> None:
    """Says that Redis is away or refuses, and that it is over."""
    if spell:
        say(f"{spell.message}; waiting for it to pass. Next: {spell.next}", "yellow")
    else:
        say("Redis takes writes again.", "yellow")


def needs_person(now: Snapshot, run: Run, here: Session, begun: float) -> bool:
    """Whether a run stands still until somebody acts: an outage is sat out for a while, from this command's start."""
    if now.suspension is None or now.suspension.reason == "held":
        return False
    if now.suspension.reason == "outage":
        return time.time() - max(begun, now.suspension.since.timestamp()) > here.settings.max_outage
    if now.suspension.reason == "no_credits" and run.wait_credits:
        return not all(standing.is_of_balance for standing in here.fleet.suspensions())
    return True


def wait_for_calls(run: Run, here: Session) -> None:
    """Waits for the run's calls in flight to end and be stored."""
    deadline = time.monotonic() + here.settings.api_timeout + 10
    while held(run, here) and time.monotonic() < deadline:
        time.sleep(0.1)


def held(run: Run, here: Session) -> int:
    """How many jobs of the run living workers have in hand."""
    living = [name for name, beat in here.fleet.workers().items() if beat is not None]
    places = (place for name in living for place in here.fleet.jobs_of(name).values())
    return sum(1 for place in places if place["run"] == run.run_id)


def interrupted(run: Run, here: Session, stop: KeyboardInterrupt, *, as_json: bool) -> int:
    """Ctrl-C: the run is suspended and its calls in flight end; a second Ctrl-C leaves at once.

    A run that another command of this folder follows goes on.
    """
    code = exit_code(stop)
    try:
        if not here.driving.leave(run.run_id) and not isinstance(stop, StackEnded):
            say(f"\nStopping. Run {run.run_id} goes on: another command follows it.", "bold")
            if as_json:
                print_json(here.snapshot(run).model_dump(mode="json"))
            return code
        here.control.suspend(run.run_id, reason="interrupted", detail=getattr(stop, "why", "stopped with Ctrl-C"))
        if is_urgent():  # the second one came while the first was on its way here
            raise KeyboardInterrupt
        jobs = held(run, here)
        say(
            f"\nStopping: {jobs} jobs in hand end first. Ctrl-C again leaves at once." if jobs else "\nStopping.",
            "bold",
        )
        wait_for_calls(run, here)
        now = here.snapshot(run)
        say(f"{now.succeeded + now.skipped:,} of {now.planned:,} jobs are done and stay done.")
        if as_json:
            print_json(now.model_dump(mode="json"))
    except KeyboardInterrupt:
        left = "calls in flight may have been paid for and are looked into when the run goes on"
        stays = "the worker stays for other commands, and stores the calls in flight"
        say(f"Left at once: {left if here.stack.abandon() else stays}.", "yellow")
    except (StateUnavailable, StoreUnavailable) as error:
        if isinstance(stop, StackEnded):
            say(f"The embedded stack in {here.settings.home} has ended.", "yellow")
            code = UNREACHABLE
        else:
            say(error.message, "yellow")
    say(f"To go on: restyle resume {run.run_id}", "bold")
    return code


def tell(now: Snapshot, here: Session) -> list[Reason]:
    """How a run ended or why it stands still, where everything lies, and what to type next; why jobs failed."""
    talk.print(counts(now))
    note = now.suspension
    if note is not None:
        say(f"Suspended ({note.reason}): {note.detail}", "bold yellow")
        if note.reason in {"outage", "interrupted"}:
            say(f"Next: restyle resume {now.run_id}")
        else:
            say(f"Next: {note.next}")
    why = failures.reasons(now, here)
    if now.failed and now.last_error and not why:
        say(f"last error: {now.last_error}", "yellow")
    spent = credits_text(now.credits_spent, here.settings.credit_price)
    say(
        ("made-up credits: " if here.settings.sandbox else "spent: ")
        + spent
        + (f", {now.in_doubt} calls in doubt" if now.in_doubt else "")
    )
    if now.reused:
        saved = credits_text(now.saved, here.settings.credit_price)
        say(f"reused: {now.reused:,} results that were paid for already: {saved} saved")
    say(f"outputs: {here.shown(now.outputs)}")
    say(f"records: {here.shown(here.workspace.under('records'))}")
    if now.report:
        say(f"report:  {here.shown(now.report.removesuffix('.csv') + '.html')}")
    if now.invalid:
        say(f"lines left out: {here.shown(here.workspace.run(now.run_id, 'invalid.csv'))}")
    if now.suspect:
        say(f"To make suspect pictures again, with other seeds: restyle retry {now.run_id} --status suspect", "bold")
    failures.tell(why, now, lambda text: say(text, "yellow"))
    return why


def counts(now: Snapshot) -> str:
    """How many jobs ended how, with what is left to a person in yellow."""
    reused = f" ({now.reused:,} reused)" if now.reused else ""
    parts = [f"{now.succeeded:,} succeeded", f"{now.skipped:,} skipped{reused}", f"{now.failed:,} failed"]
    if now.pending:
        parts.append(f"{now.pending:,} pending")
    if now.suspect:
        parts.append(f"[yellow]{now.suspect:,} suspect[/]")
    if now.invalid:
        parts.append(f"[yellow]{now.invalid:,} invalid[/]")
    is_well = now.status is RunStatus.FINISHED and not (now.failed or now.suspect or now.invalid)
    return f"[bold {'green' if is_well else 'yellow'}]{now.status.value}[/]  " + " · ".join(parts)


def print_submitted(run: Run, here: Session, *, as_json: bool) -> None:
    """The run's id on stdout, for whoever submitted it."""
    if as_json:
        print_json(here.snapshot(run).model_dump(mode="json"))
        return
    print(run.run_id)  # noqa: T201 - the one datum of this command, on stdout
    say(f"Watch it: restyle watch {run.run_id}", "dim")


def submit(run: Run, here: Session, *, detach: bool = False) -> None:
    """Begins a planned run; stopped in between, it is suspended as it is later, or was never there."""
    if not detach:
        here.driving.take(run.run_id)
    try:
        here.control.submit(run, here.feeder)
    except KeyboardInterrupt as stop:
        with suppress(ConfigurationError):  # there is no such run yet
            sys.exit(interrupted(run, here, stop, as_json=False))
        raise


def hold_leftovers(here: Session, *, but: str = "") -> list[Run]:
    """Suspends what an earlier stack of this folder has left unfinished: a command works on its own run alone.

    Where the worker was up before this command came, other commands have their runs done by it: those go on.
    """
    worker = here.stack.worker
    if not here.embedded or worker is None:
        return []
    with here.driving.planning():
        here.driving.tidy()
        others = [run for run in here.control.unfinished() if run.run_id != but]
        if not worker.is_started_here:
            return others
        left = [run for run in others if not here.driving.is_driven(run.run_id)]
        for run in left:
            if not here.progress.suspensions(run.run_id):
                here.control.suspend(run.run_id, reason="interrupted", detail="another run was started")
    return left


def name_others(others: list[Run], here: Session, *, but: str) -> None:
    """Says which other runs are unfinished, and whether they go on."""
    for run in others:
        if run.run_id == but:
            continue
        if here.progress.suspensions(run.run_id):
            stays = "is unfinished and stays suspended; to go on with it: restyle resume"
            say(f"Run {run.run_id} {stays} {run.run_id}", "dim")
        else:
            say(f"Run {run.run_id} goes on beside this one.", "dim")
