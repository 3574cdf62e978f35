"""Minding the stack while a run is followed: what stands in its way is shown, and nothing is waited for without end."""

from __future__ import annotations

import time

from apps.session import Session
from apps.terminal.console import say
from producers.runs.snapshot import Snapshot
from restyle.errors import RestyleError, StateUnavailable, StoreUnavailable
from restyle.models import Run

#: Seconds without a living worker after which the command says so, or ends where none can come.
LONELY = 20.0
#: Seconds of silence of Redis or S3 until a command says so, and until it says so again.
WORD, AGAIN = 3.0, 60.0
#: Seconds for which a command waits for its own stack's Redis or S3, which its keeper starts again; and for others'.
OWN_PATIENCE, PATIENCE = 60.0, 600.0


class StackEnded(KeyboardInterrupt):
    """The embedded stack was stopped, or has died: no call of this run can begin any more."""

    code = 3
    why = "its stack was stopped"


class Minder:
    """Looks at what a run needs, at each snapshot of it."""

    def __init__(self, run: Run, here: Session) -> None:
        self._run, self._here = run, here
        self._lonely = time.monotonic()
        self._is_full = False

    def look(self, now: Snapshot) -> None:
        """Says what stands in the run's way.

        Raises:
            StackEnded: the embedded stack is ending, or gone.
            RestyleError: no worker is there, and none will come.
        """
        if self._here.stack.ended():
            raise StackEnded
        self._look_at_disk()
        if now.workers or now.ended or self._here.state.spells.now:  # of a Redis that refuses no worker is known
            self._lonely = time.monotonic()
            return
        self._look_for_worker()

    def _look_at_disk(self) -> None:
        was_full, self._is_full = self._is_full, self._here.stack.is_disk_full()
        if self._is_full and not was_full:
            say(
                f"The disk under {self._here.settings.home} is full: nothing can be stored there. Make room, and the"
                " run goes on by itself; what is paid for is kept meanwhile",
                "bold yellow",
            )

    def _look_for_worker(self) -> None:
        here, run_id = self._here, self._run.run_id
        if trouble := here.stack.trouble():
            here.control.suspend(run_id, reason="interrupted", detail="its worker does not start")
            words = "\n".join(f"  {line}" for line in trouble.tail)
            raise RestyleError(
                f"the worker does not start: it has ended {trouble.deaths} times, the last time with code"
                f" {trouble.code}. The end of {trouble.log}:\n{words}\n"
                f"Mend what it says, then type: restyle resume {run_id}"
            )
        if time.monotonic() - self._lonely < LONELY:
            return
        if here.embedded and here.stack.worker is None and not here.stack.has_worker():
            raise RestyleError(f"no command works on run {run_id} any more; to go on with it: restyle resume {run_id}")
        self._lonely = float("inf")
        hint = f"it may be failing to start: see {here.stack.home.log('worker')}" if here.embedded else ""
        say(f"No worker is running; {hint or 'start one: restyle worker'}", "yellow")


class Away:
    """Redis or S3 is out of reach: a word after a few seconds, and an end."""

    def __init__(self, run: Run, here: Session) -> None:
        self._run, self._here = run, here
        self._since = time.monotonic()
        self._next_word = WORD

    def bear(self, error: StateUnavailable | StoreUnavailable) -> None:
        """Waits a moment for it to come back.

        Raises:
            StackEnded: it was of the embedded stack, which is ending, or gone.
            StateUnavailable, StoreUnavailable: it has been away for too long.
        """
        here, run_id = self._here, self._run.run_id
        if here.stack.ended():
            raise StackEnded
        away = time.monotonic() - self._since
        if away > (OWN_PATIENCE if here.embedded else min(PATIENCE, here.settings.max_outage)):
            what = (
                f"The logs are in {here.stack.home.path / 'logs'}. To go on: restyle resume {run_id}"
                if here.embedded
                else f"The run goes on by itself once it is back; to follow it then: restyle watch {run_id}"
            )
            raise type(error)(f"{error.message}, for {away:.0f} s now. {what}")
        if away > self._next_word and not here.state.spells.is_reported:
            self._next_word = away + AGAIN
            say(f"{error.message}; waiting for it to come back", "yellow")
        time.sleep(0.5)
