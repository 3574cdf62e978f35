"""What a person does to runs: submit, suspend, resume, cancel. Each is written where every worker sees it."""

from __future__ import annotations

import posixpath
import time
from dataclasses import dataclass, replace

from producers.enqueue import Feeder
from producers.watch import read_run, told_by_results, write_run
from restyle.errors import ConfigurationError
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
        if self.progress.dispatch(feeder.token, ttl=30):
            try:
                feeder.advance(run.run_id)
            finally:
                self.progress.dispatch(feeder.token, ttl=0.001)

    def runs(self) -> list[Run]:
        """Every run of the workspace, newest first."""
        prefix = self.workspace.under("runs") + "/"
        found = [listed.uri for listed in self.store.list(prefix) if listed.uri.endswith("/run.json")]
        names = sorted((posixpath.basename(posixpath.dirname(uri)) for uri in found), reverse=True)
        return [read_run(name, store=self.store, workspace=self.workspace) for name in names]

    def unfinished(self) -> list[Run]:
        """The runs that have not ended, newest first."""
        return [run for run in self.runs() if run.status not in ENDED]

    def suspend(self, run_id: str | None, *, reason: str = "operator", detail: str = "") -> None:
        """Suspends one run, or the whole fleet."""
        if run_id is None:
            self.fleet.suspend(reason, detail or f"suspended by {self.by}", self.by)
            return
        read_run(run_id, store=self.store, workspace=self.workspace)
        self.progress.suspend(run_id, reason, detail or f"suspended by {self.by}", self.by)

    def resume(self, run_id: str | None) -> Run | None:
        """Lifts the fleet's suspension; with a run also the run's, and the fleet's unless a person suspended it.

        Raises:
            ConfigurationError: the run has ended, or does not exist.
        """
        if run_id is None:
            self.fleet.resume()
            return None
        run = read_run(run_id, store=self.store, workspace=self.workspace)
        if run.status in ENDED:
            raise ConfigurationError(
                f"run {run_id} is {run.status.value}; to run its failed jobs again, type: restyle retry {run_id}"
            )
        if self.progress.totals(run_id) is None:
            self.rebuild(run)
        self.progress.register(run)
        self.progress.resume(run_id)
        if not any(suspension.reason == "operator" for suspension in self.fleet.suspensions()):
            self.fleet.resume()
        return run

    def cancel(self, run_id: str) -> Run:
        """Ends a run: calls in flight end and are stored, what is not begun stays pending.

        Raises:
            ConfigurationError: the run has ended already, or does not exist.
        """
        run = read_run(run_id, store=self.store, workspace=self.workspace)
        if run.status in ENDED:
            raise ConfigurationError(f"run {run_id} is {run.status.value} already")
        cancelled = run.model_copy(update={"status": RunStatus.CANCELLED})
        write_run(cancelled, store=self.store, workspace=self.workspace)
        self.progress.register(cancelled)
        self.progress.set_status(run_id, RunStatus.CANCELLED)
        return cancelled

    def rebuild(self, run: Run) -> None:
        """Makes a run known again whose state Redis has lost: closed shards by results/, all else is opened anew."""
        told = told_by_results(run, self.store, self.workspace, self.progress)
        prefix = self.workspace.run(run.run_id, "results") + "/"
        closed = sorted(int(posixpath.basename(listed.uri).partition(".")[0]) for listed in self.store.list(prefix))
        noted = self.store.list(self.workspace.run(run.run_id, "doubt") + "/")
        self.progress.doubt(run.run_id, (posixpath.basename(listed.uri).partition(".")[0] for listed in noted))
        # Living workers write down at their next beat which calls are out; nothing is fed before that.
        time.sleep(self.beat_seconds * 1.5)
        self.progress.restore(run, replace(told, cursor=run.shards), closed)
