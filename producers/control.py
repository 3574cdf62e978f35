"""What a person does to runs: submit, suspend, resume, cancel. Each is written where every worker sees it."""

from __future__ import annotations

import posixpath
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import islice

from producers.doubts import noted
from producers.enqueue import Feeder
from producers.rows import read_results
from producers.runs import read_runs, run_ids
from producers.watch import read_run, told_by_results, write_run
from restyle.errors import ConfigurationError
from restyle.events import note
from restyle.fleet import Fleet
from restyle.keys import Workspace
from restyle.models import ENDED, Run, RunStatus
from restyle.progress import Progress
from restyle.store import Store


@dataclass(frozen=True)
class Control:
    """The levers of one workspace."""

    store: Store
    workspace: Workspace
    progress: Progress
    fleet: Fleet
    #: Who pulls them: user@host.
    by: str
    #: How often workers say that they live.
    beat_seconds: float = 3.0

    def submit(self, run: Run, feeder: Feeder) -> None:
        """Makes a planned run known and queues its first window, unless a dispatcher is at it already."""
        self.progress.register(run)
        self.note(run.run_id, "submitted", f"retry of {run.retry_of}" if run.retry_of else "")
        if self.progress.dispatch(feeder.token, ttl=30):
            try:
                feeder.advance(run.run_id)
            finally:
                self.progress.dispatch(feeder.token, ttl=0.001)

    def runs(self, limit: int | None = None) -> list[Run]:
        """The runs of the workspace, newest first: all of them, or so many."""
        names = run_ids(self.store, self.workspace)
        return list(islice(read_runs(names, self.store, self.workspace), limit))

    def unfinished(self) -> list[Run]:
        """The runs that have not ended, newest first."""
        return [run for run in self.runs() if run.status not in ENDED]

    def suspend(self, run_id: str | None, *, reason: str = "operator", detail: str = "") -> None:
        """Suspends one run, or the whole fleet."""
        if run_id is None:
            self.fleet.suspend(reason, detail or f"suspended by {self.by}", self.by)
            self.note(None, "suspended", detail)
            return
        read_run(run_id, store=self.store, workspace=self.workspace)
        self.progress.suspend(run_id, reason, detail or f"suspended by {self.by}", self.by)
        self.note(run_id, "suspended", detail)

    def resume(self, run_id: str | None, *, budget: float | None = None) -> Run | None:
        """Lifts the fleet's suspension; with a run also the run's, and the fleet's unless a person suspended it.

        A deadline is forgotten with it, and a budget replaced by a larger one.

        Raises:
            ConfigurationError: the run has ended, or does not exist.
        """
        if run_id is None:
            self.fleet.resume()
            self.note(None, "resumed")
            return None
        run = read_run(run_id, store=self.store, workspace=self.workspace)
        if run.status in ENDED:
            raise ConfigurationError(
                f"run {run_id} is {run.status.value}; to run its failed jobs again, type: restyle retry {run_id}"
            )
        if self.progress.totals(run_id) is None:
            self.rebuild(run)
        if budget is not None or run.finish_by is not None:
            run = run.model_copy(update={"budget": budget or run.budget, "finish_by": None})
            write_run(run, store=self.store, workspace=self.workspace)
        self.progress.register(run)
        self.progress.forget_deadline(run_id)
        self.progress.resume(run_id)
        reasons = self.fleet.suspensions()
        if not any(suspension.reason == "operator" for suspension in reasons):
            self.fleet.resume()
            if reasons:
                self.note(None, "resumed", f"with run {run_id}")
        self.note(run_id, "resumed")
        return run

    def approve(self, run_id: str) -> Run:
        """Lets more than the sample of a run be done.

        Raises:
            ConfigurationError: it does not wait for that, or has ended.
        """
        run = read_run(run_id, store=self.store, workspace=self.workspace)
        if run.status in ENDED or run.approved:
            raise ConfigurationError(f"run {run_id} waits for no approval; it is {run.status.value}")
        approved = run.model_copy(update={"approved": True})
        write_run(approved, store=self.store, workspace=self.workspace)
        if self.progress.totals(run_id) is None:
            self.rebuild(approved)
        self.progress.register(approved)
        self.progress.lift(run_id, "awaiting_approval")
        self.note(run_id, "approved")
        return approved

    def cancel(self, run_id: str, *, what: str = "cancelled") -> Run:
        """Ends a run: calls in flight end and are stored, what is not begun stays pending.

        Args:
            run_id: the run.
            what: the word for it in the run's log; one that waits for approval is "rejected".

        Raises:
            ConfigurationError: the run has ended already, or does not exist.
        """
        run = read_run(run_id, store=self.store, workspace=self.workspace)
        if run.status in ENDED:
            raise ConfigurationError(f"run {run_id} is {run.status.value} already")
        if self.progress.totals(run_id) is None:
            self.rebuild(run)
        cancelled = run.model_copy(update={"status": RunStatus.CANCELLED})
        write_run(cancelled, store=self.store, workspace=self.workspace)
        self.progress.register(cancelled)
        self.progress.set_status(run_id, RunStatus.CANCELLED)
        self.note(run_id, what)
        return cancelled

    def note(self, run_id: str | None, what: str, detail: str = "") -> None:
        """Writes down what was done to a run, or with None to the fleet, and by whom."""
        note(self.progress.state, run_id, what, self.by, detail)

    def rebuild(self, run: Run) -> None:
        """Makes a run known again whose state Redis has lost: closed shards by results/, all else is opened anew."""
        told = told_by_results(run, self.store, self.workspace, self.progress)
        prefix = self.workspace.run(run.run_id, "results") + "/"
        closed = sorted(int(posixpath.basename(listed.uri).partition(".")[0]) for listed in self.store.list(prefix))
        # A request that was submitted may wait for somebody to ask for it: whoever claims its job looks it up.
        for folder in ("doubt", "requests"):
            self.progress.doubt(run.run_id, noted(run.run_id, folder, self.store, self.workspace))
        # Living workers write down at their next beat which calls are out; nothing is fed before that.
        time.sleep(self.beat_seconds * 1.5)
        if self.progress.restore(run, replace(told, cursor=run.shards), closed):
            self.progress.add_spent(self._spent(run, closed))

    def _spent(self, run: Run, shards: list[int]) -> dict[str, float]:
        """What the closed shards of a run cost, by day and by month."""
        spent: dict[str, float] = defaultdict(float)
        for shard in shards:
            for _, outcome in read_results(self.store, self.workspace, run.run_id, shard):
                if outcome and outcome.ended and outcome.credits:
                    for period in self.fleet.limits.budgets.periods(outcome.ended):
                        spent[period.name] += outcome.credits
        return spent
