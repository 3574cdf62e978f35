"""What a person does to runs: submit, suspend, resume, cancel. Each is written where every worker sees it.

S3 first, Redis second: run.json and suspended.json say what people have decided, and Redis is brought in line with
them, by the command, or by the dispatcher where the command was cut off. So each command can be typed again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from producers.dispatch.feeder import Feeder
from producers.runs.admission import Admission
from producers.runs.listing import read_runs, run_ids
from producers.runs.snapshot import read_run, write_run
from producers.runs.suspensions import Suspended, keep_suspended, put_suspension, read_suspension, remove_suspension
from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.events import note
from restyle.coordination.runs.progress import Progress
from restyle.coordination.runs.registry import Standing, Totals
from restyle.coordination.workspace.holding import Holding
from restyle.errors import ConfigurationError, ObjectRefused, StoreAccessDenied, StoreUnavailable
from restyle.keys import Workspace
from restyle.models import ENDED, Run, RunStatus
from restyle.s3.store import Store

NO_LABELS: Mapping[str, str] = {}


class AlreadyEnded(ConfigurationError):
    """What was asked of a run came too late: it has ended."""


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
    #: What holds the workspace for this Redis; None where its worker has seen to that.
    holding: Holding | None = None

    def hold(self) -> None:
        """Raises WorkspaceHeld where the workspace is another Redis's: nothing is registered or rebuilt here then."""
        if self.holding:
            self.holding.hold(patient=False)

    def submit(self, run: Run, feeder: Feeder) -> None:
        """Lets a planned run exist and queues its first window, unless a dispatcher is at it already.

        Raises:
            ConfigurationError: another unfinished run has one of its jobs; nothing of it is left.
        """
        self.hold()
        self.admit(run)
        if self.progress.dispatch(feeder.token, ttl=30):
            try:
                feeder.advance(run.run_id)
            finally:
                self.progress.dispatch(feeder.token, ttl=0.001)

    def admit(self, run: Run) -> None:
        """Lets a planned run exist, in S3 and for the fleet, unless another unfinished run has one of its jobs.

        Raises:
            ConfigurationError: one has; nothing of the run is left, and no worker has seen it.
        """
        self.keep_suspended()
        Admission(self.store, self.workspace, self.progress).admit(run)
        self.note(run.run_id, "submitted", f"retry of {run.retry_of}" if run.retry_of else "")

    def runs(self, limit: int | None = None, labels: Mapping[str, str] = NO_LABELS) -> list[Run]:
        """The runs of the workspace with all of these labels, newest first: all of them, or so many."""
        runs = read_runs(run_ids(self.store, self.workspace), self.store, self.workspace)
        return list(islice((run for run in runs if labels.items() <= run.labels.items()), limit))

    def unfinished(self) -> list[Run]:
        """The runs that have not ended, newest first."""
        return [run for run in self.runs() if run.status not in ENDED]

    def suspend(self, run_id: str | None, *, reason: str = "operator", detail: str = "") -> None:
        """Suspends one run, or the whole fleet; where S3 is away too, at least for as long as Redis remembers it.

        Raises:
            ConfigurationError: there is no such run.
            WorkspaceHeld: another Redis is at work in the workspace, which does not hear of this.
            StoreUnavailable, StoreAccessDenied: Redis knows it, and S3 does not.
        """
        if reason == "operator" and self.holding:
            self.holding.refuse_elsewhere()
        reported = detail or f"suspended by {self.by}"
        try:
            self._suspend(run_id, reason, reported)
        except (StoreUnavailable, StoreAccessDenied, ObjectRefused):
            # To stop is urgent: Redis learns of it all the same, and the person that S3 did not.
            if run_id is None:
                self.fleet.suspend(reason, reported, self.by)
            else:
                self.progress.suspend(run_id, reason, reported, self.by)
            raise
        self.note(run_id, "suspended", detail)

    def _suspend(self, run_id: str | None, reason: str, detail: str) -> None:
        """Writes a suspension down in S3, then in Redis."""
        if run_id is None:
            standing = Standing(self.progress.state)
            fleets = Suspended(
                reason=reason, detail=detail, by=self.by, server=standing.server(), epoch=standing.epoch()
            )
            put_suspension(None, fleets, self.store, self.workspace)
            self.fleet.suspend(reason, detail, self.by, stored=True)
            return
        run = read_run(run_id, store=self.store, workspace=self.workspace)
        if run.status in ENDED:
            return  # it stands still for good
        suspended = read_suspension(run_id, self.store, self.workspace)
        if suspended is None:  # else the first word on it stands
            suspended = Suspended(reason=reason, detail=detail, by=self.by)
            put_suspension(run_id, suspended, self.store, self.workspace)
        self.progress.agree(run, suspended.word)

    def resume(
        self, run_id: str | None, *,
        budget: float | None = None, limits: Mapping[str, str] | None = None, wait_credits: bool = False,
    ) -> Run | None:  # fmt: skip
        """Lifts the fleet's suspension; with a run also the run's, and the fleet's unless a person suspended it.

        A deadline is forgotten with it, a budget replaced by a larger one, and `max_failures` and `max_suspects` by
        those that are given; brakes count anew.

        Raises:
            ConfigurationError: the run has ended, or does not exist; or the budget is none.
        """
        if budget is not None and not (math.isfinite(budget) and budget > 0):
            raise ConfigurationError(f"--budget {budget:g}: it is a number of credits above 0")
        self.hold()
        if run_id is None:
            if budget is not None:
                raise ConfigurationError(f"--budget {budget:g} is for one run: name it")
            if limits:
                raise ConfigurationError("--max-failures and --max-suspects are for one run: name it")
            self._resume_fleet()
            return None
        run = self._unfinished(run_id)
        options = run.options.model_copy(update=limits or {})
        fields = {
            "budget": budget or run.budget, "finish_by": None, "options": options,
            "wait_credits": run.wait_credits or wait_credits,
        }  # fmt: skip
        run = self._with(run, fields)
        remove_suspension(run_id, self.store, self.workspace)
        self._agree(run, lift=True)
        reasons = self.keep_suspended()
        if "operator" not in reasons:
            self.fleet.resume()  # which ends a hold of the API's, and has the balance checked anew
            if reasons:
                self.note(None, "resumed", f"with run {run_id}")
        self.note(run_id, "resumed")
        return run

    def _with(self, run: Run, fields: Mapping[str, object]) -> Run:
        """The run with these fields, written where one of them has changed."""
        if all(getattr(run, name) == value for name, value in fields.items()):
            return run
        run = run.model_copy(update=fields)
        write_run(run, store=self.store, workspace=self.workspace)
        return run

    def _resume_fleet(self) -> None:
        remove_suspension(None, self.store, self.workspace)
        self.fleet.resume()
        self.note(None, "resumed")

    def _unfinished(self, run_id: str) -> Run:
        """A run that may be resumed.

        Raises:
            AlreadyEnded: it is over.
        """
        run = read_run(run_id, store=self.store, workspace=self.workspace)
        if run.status in ENDED:
            rest = " --status pending" if run.status is RunStatus.CANCELLED else ""
            what = "do the rest of it" if rest else "run its failed jobs again"
            raise AlreadyEnded(f"run {run_id} is {run.status.value}; to {what}, type: restyle retry {run_id}{rest}")
        return run

    def approve(self, run_id: str) -> Run:
        """Lets more than the sample of a run be done.

        Raises:
            ConfigurationError: it does not wait for that, or has ended.
        """
        self.hold()
        run = read_run(run_id, store=self.store, workspace=self.workspace)
        waits = "awaiting_approval" in {standing.reason for standing in self.progress.suspensions(run_id)}
        if run.status in ENDED or (run.approved and not waits and self._is_approved(run_id)):
            raise ConfigurationError(f"run {run_id} waits for no approval; it is {run.status.value}")
        if not run.approved:
            run = run.model_copy(update={"approved": True})
            write_run(run, store=self.store, workspace=self.workspace)
        self._agree(run)
        self.note(run_id, "approved")
        return run

    def cancel(self, run_id: str, *, what: str = "cancelled") -> Run:
        """Ends a run: calls in flight end and are stored, what is not begun stays pending.

        A run that Redis does not know is written off in S3; the fleet's dispatcher writes its report.

        Args:
            run_id: the run.
            what: the word for it in the run's log; one that waits for approval is "rejected".

        Raises:
            AlreadyEnded: it is over, or cancelled already, as S3 and Redis agree.
            ConfigurationError: it does not exist.
        """
        self.hold()
        run = read_run(run_id, store=self.store, workspace=self.workspace)
        if run.status in ENDED and self._agrees_to_end(run):
            raise AlreadyEnded(f"run {run_id} is {run.status.value} already")
        if run.status not in ENDED:
            run = run.model_copy(update={"status": RunStatus.CANCELLED})
            write_run(run, store=self.store, workspace=self.workspace)
        self._agree(run, rebuild=False)
        self.note(run_id, what)
        return run

    def note(self, run_id: str | None, what: str, detail: str = "") -> None:
        """Writes down what was done to a run, or with None to the fleet, and by whom."""
        note(self.progress.state, run_id, what, self.by, detail)

    def keep_suspended(self) -> set[str]:
        """Makes sure that a person's suspension of the fleet, which stands in S3, stands in Redis; why it stands still.

        A Redis that has forgotten it learns of it before anything is begun; the dispatcher writes it too, later.
        """
        keep_suspended(self.store, self.workspace, self.progress.state)
        return {standing.reason for standing in self.fleet.suspensions()}

    def rebuild(self, run: Run) -> None:
        """Rebuilds a run that Redis has lost, and waits for calls of before that are still out.

        Raises:
            ConfigurationError: they do not end.
            RunUnreadable: what S3 has of the run cannot be read.
        """
        from producers.runs.recovery.rebuild import (
            Rebuilder,  # what judges records is not imported where nothing is lost
        )

        rebuilder = Rebuilder(self.store, self.workspace, self.progress, self.fleet)
        # Living workers write down at their next beat which calls are out.
        time.sleep(self.beat_seconds * 1.5)
        deadline = time.monotonic() + self.fleet.limits.api_timeout + 30
        while not rebuilder.restore(run.run_id):
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"calls of run {run.run_id} from before Redis lost it are still out; when they have ended, type:"
                    f" restyle resume {run.run_id}"
                )
            time.sleep(min(self.beat_seconds, 1.0))

    def _agree(self, run: Run, *, lift: bool = False, rebuild: bool = True) -> None:
        """Tells Redis what S3 says of a run by now; one that it has lost is rebuilt, unless it is to end anyway."""
        if self._totals(run.run_id) is None and rebuild:
            self.rebuild(run)
        suspended = read_suspension(run.run_id, self.store, self.workspace)
        self.progress.agree(run, suspended.word if suspended else None, lift=lift)

    def _is_approved(self, run_id: str) -> bool:
        totals = self._totals(run_id)
        return totals is not None and totals.approved

    def _agrees_to_end(self, run: Run) -> bool:
        """Whether Redis knows as well as S3 that a run is to move no more."""
        totals = self._totals(run.run_id)
        if run.status is RunStatus.CANCELLED and totals is not None:
            return totals.status is not RunStatus.RUNNING
        return run.status is RunStatus.FINISHED or run.finished is not None

    def _totals(self, run_id: str) -> Totals | None:
        """A run's ledger in Redis; where something of it cannot be read it is dropped, and rebuilt from S3."""
        if self.progress.is_sound(run_id):
            return self.progress.totals(run_id)
        self.progress.drop(run_id)
        return None
