"""Following a run to its end: progress while it moves, a clean stop on Ctrl-C, and what there is to say afterwards."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from apps.cli.board import board
from apps.cli.console import credits_text, print_json, say, talk
from apps.cli.exits import INTERRUPTED, TERMINATED, run_code
from apps.cli.session import Session
from producers.mirror import Mirror
from producers.watch import Snapshot, watch
from restyle.errors import StateUnavailable, StoreUnavailable
from restyle.models import Run, RunStatus
from restyle.throttling import end_all

#: Seconds without a living worker after which the command says so.
LONELY = 20.0
#: Seconds between two looks whether Redis takes writes.
LOOK_AT_REDIS = 2.0


class Terminated(KeyboardInterrupt):
    """SIGTERM: stops a command as cleanly as Ctrl-C does."""


def to_the_end(run: Run, here: Session, *, as_json: bool, download: Path | None = None) -> int:
    """Follows a run until it has ended or needs a person; answers with the exit code."""
    with terminable(), mirrored(run, here, download):
        try:
            last = follow(run, here)
        except KeyboardInterrupt as stop:
            return interrupted(run, here, stop, as_json=as_json)
    tell(last, here)
    if as_json:
        print_json(last.model_dump(mode="json"))
    return run_code(last)


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
        mirror.stop()
        counts = " · ".join(f"{count:,} {state}" for state, count in sorted(mirror.counts.items()))
        say(f"{directory}: {counts or 'no picture yet'}")
        if mirror.trouble:
            say(f"Copying stopped: {mirror.trouble}", "yellow")
            say(f"To copy the rest: restyle download {run.run_id} {directory}", "yellow")


@contextmanager
def terminable() -> Iterator[None]:
    """Lets SIGTERM end a command as Ctrl-C does."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        end_all()
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def follow(run: Run, here: Session) -> Snapshot:
    """Shows the run's progress; the last snapshot is taken when no call is out any more."""
    lonely = looked = time.monotonic()
    begun = time.time()
    here.state.spells.listen(tell_spell)
    with board(run, here) as show:
        for now in snapshots(run, here):
            show(now)
            if time.monotonic() - looked > LOOK_AT_REDIS:
                looked = time.monotonic()
                here.refusal()  # which is told, once
            if now.workers:
                lonely = time.monotonic()
            elif time.monotonic() - lonely > LONELY and here.state.spells.now is None:
                lonely = float("inf")
                log = here.settings.home / "logs" / "worker.log"
                hint = f"it may be failing to start: see {log}" if here.embedded else "start one: restyle worker"
                say(f"No worker is running; {hint}", "yellow")
            if now.ended or needs_person(now, here, begun):
                break
        if not now.ended:
            settle(here)
            now = here.snapshot(run)
            show(now)
    return now


def snapshots(run: Run, here: Session) -> Iterator[Snapshot]:
    """Snapshots of a run; a Redis or S3 that goes away for a while does not end the watching."""
    while True:
        try:
            yield from watch(run, store=here.store, workspace=here.workspace, progress=here.progress, fleet=here.fleet)
        except StateUnavailable:  # which is told, once
            time.sleep(2)
        except StoreUnavailable as error:
            say(f"{error.message}; waiting for it to come back", "yellow")
            time.sleep(2)
        else:
            return


def tell_spell(spell: StateUnavailable | None, _seconds: float) -> None:
    """Says that Redis is away or refuses, and that it is over."""
    if spell:
        say(f"{spell.message}; waiting for it to pass. Next: {spell.next}", "yellow")
    else:
        say("Redis takes writes again.", "yellow")


def needs_person(now: Snapshot, here: Session, begun: float) -> bool:
    """Whether a run stands still until somebody acts: an outage is sat out for a while, from this command's start."""
    if now.suspension is None or now.suspension.reason == "held":
        return False
    if now.suspension.reason == "outage":
        return time.time() - max(begun, now.suspension.since.timestamp()) > here.settings.max_outage
    return True


def settle(here: Session) -> None:
    """Waits for the calls in flight to end and be stored."""
    deadline = time.monotonic() + here.settings.api_timeout + 10
    while here.fleet.living_jobs and time.monotonic() < deadline:
        time.sleep(0.1)


def interrupted(run: Run, here: Session, stop: KeyboardInterrupt, *, as_json: bool) -> int:
    """Ctrl-C: the run is suspended and its calls in flight end; a second Ctrl-C leaves at once."""
    code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    try:
        here.control.suspend(run.run_id, reason="interrupted", detail="stopped with Ctrl-C")
        held = len(here.fleet.living_jobs)
        say(
            f"\nStopping: {held} jobs in hand end first. Ctrl-C again leaves at once." if held else "\nStopping.",
            "bold",
        )
        settle(here)
        now = here.snapshot(run)
        say(f"{now.succeeded + now.skipped:,} of {now.planned:,} jobs are done and stay done.")
        if as_json:
            print_json(now.model_dump(mode="json"))
    except KeyboardInterrupt:
        here.abandon()
        say("Left at once: calls in flight may have been paid for and are looked into when the run goes on.", "yellow")
    except (StateUnavailable, StoreUnavailable) as error:
        say(error.message, "yellow")
    say(f"To go on: restyle resume {run.run_id}", "bold")
    return code


def tell(now: Snapshot, here: Session) -> None:
    """How a run ended or why it stands still, where everything lies, and what to type next."""
    parts = [f"{now.succeeded:,} succeeded", f"{now.skipped:,} skipped", f"{now.failed:,} failed"]
    if now.pending:
        parts.append(f"{now.pending:,} pending")
    if now.suspect:
        parts.append(f"[yellow]{now.suspect:,} suspect[/]")
    style = "green" if now.status is RunStatus.FINISHED and not now.failed else "yellow"
    talk.print(f"[bold {style}]{now.status.value}[/]  " + " · ".join(parts))
    note = now.suspension
    if note is not None:
        say(f"Suspended ({note.reason}): {note.detail}", "bold yellow")
        if note.reason in {"outage", "interrupted"}:
            say(f"Next: restyle resume {now.run_id}")
        else:
            say(f"Next: {note.next}")
    if now.failed and now.last_error:
        say(f"last error: {now.last_error}", "yellow")
    spent = credits_text(now.credits_spent, here.settings.credit_price)
    say(
        ("made-up credits: " if here.settings.sandbox else "spent: ")
        + spent
        + (f", {now.in_doubt} calls in doubt" if now.in_doubt else "")
    )
    say(f"outputs: {here.shown(now.outputs)}")
    say(f"records: {here.shown(here.workspace.under('records'))}")
    if now.report:
        say(f"report:  {here.shown(now.report.replace('.csv', '.html'))}")
    if now.suspect:
        say(f"To make suspect pictures again, with other seeds: restyle retry {now.run_id} --status suspect", "bold")
    if now.failed:
        say(f"To run the failed jobs again: restyle retry {now.run_id}", "bold")


def print_submitted(run: Run, here: Session, *, as_json: bool) -> None:
    """The run's id on stdout, for whoever submitted it."""
    if as_json:
        print_json(here.snapshot(run).model_dump(mode="json"))
        return
    print(run.run_id)  # noqa: T201 - the one datum of this command, on stdout
    say(f"Watch it: restyle watch {run.run_id}", "dim")


def leave_others(here: Session, *, but: Run | None = None) -> None:
    """An embedded run works on nothing else: other unfinished runs are suspended, and named."""
    for other in here.control.unfinished():
        if but is not None and other.run_id == but.run_id:
            continue
        if not here.progress.suspensions(other.run_id):
            here.control.suspend(other.run_id, reason="interrupted", detail="another run was started")
        say(
            f"Run {other.run_id} is unfinished and stays suspended; to go on with it: restyle resume {other.run_id}",
            "dim",
        )
