"""Plans the runs of firings: which worker may, what an unfinished earlier run means for it, and the planning."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import structlog

from config.settings import Settings
from producers.planning.clashes import find_clashes
from producers.planning.compare.diff import compare, put_diff
from producers.planning.compare.unchanged import Unchanged
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.probing import probe
from producers.planning.shards import write_shards
from producers.runs.control import AlreadyEnded, Control
from producers.runs.snapshot import read_run
from producers.scheduling.fired import Fired, Newer, Over, Unfounded
from producers.scheduling.schedule import MISSED, Firing, Overlap, Standing, is_of, overlapping
from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.firings import PLANNING, Ending, Firings
from restyle.coordination.runs.progress import Progress
from restyle.errors import RestyleError, TransientError
from restyle.keys import Workspace
from restyle.models import ENDED
from restyle.s3.store import Store
from restyle.telemetry import metrics

log = structlog.get_logger("restyle.schedule")


@dataclass(frozen=True)
class Starter:
    """Turns firings into runs."""

    settings: Settings
    workspace: Workspace
    store: Store
    progress: Progress
    fleet: Fleet
    #: Called with a firing whose run an error prevented, and the error.
    on_error: Callable[[Firing, str], None] = lambda _firing, _why: None

    @property
    def firings(self) -> Firings:
        """The ledger of schedules."""
        return Firings(self.progress.state)

    @property
    def fired(self) -> Fired:
        """What schedules fired, by S3."""
        return Fired(self.store, self.workspace)

    # -- the dispatcher's part -----------------------------------------------------------------------------

    def hand_out(self, queue: Callable[[str], None]) -> None:
        """Queues every firing that may start; closes those that are overtaken, or skipped by their overlap."""
        waiting = {name: firing for name in self.firings.names() if (firing := self._find(name))}
        newest = {firing.name: run_id for run_id, firing in waiting.items()}
        for run_id, firing in waiting.items():
            if self._is_planned(run_id):
                continue
            if firing.missed:
                self.close(firing, Ending.MISSED, MISSED)  # as its beat does, unless it has ended
                continue
            if newest[firing.name] != run_id:
                self.close(firing, Ending.SKIPPED, f"overtaken by {newest[firing.name]} before it could start")
                continue
            earlier = self.earlier(firing)
            match overlapping(firing, earlier):
                case Overlap.START:
                    if self.firings.hand_out(run_id, self.settings.start_again):
                        queue(run_id)
                case Overlap.SKIP:
                    going = next(standing.run_id for standing in earlier if standing.going)
                    self.close(firing, Ending.SKIPPED, f"{going} was still going")

    def _find(self, name: str) -> Firing | None:
        """The firing that a name on Redis's list stands for; one that S3 does not know is dropped."""
        try:
            return self.fired.find(name)
        except Newer as why:
            log.debug("a firing that this version cannot read", run=name, reason=str(why))
        except Over as why:
            # Closed in S3, and cut off before Redis knew it; or put there again by whoever can write to Redis.
            self.firings.close(why.end)
            self.firings.drop(name)
            self.fired.remove(name)
        except Unfounded as why:
            metrics.HINTS_DROPPED.labels("firing").inc()
            log.warning("a firing that only Redis knows: dropped", firing=ascii(name[:200]), reason=str(why))
            self.firings.drop(name)
        return None

    def earlier(self, firing: Firing) -> list[Standing]:
        """The unfinished runs of the firing's schedule."""
        fleet = self.fleet.suspensions()
        return [
            Standing(run_id, totals.status, [*fleet, *self.progress.suspensions(run_id)])
            for run_id, totals in self.progress.ledgers().items()
            if is_of(run_id, firing.name) and run_id != firing.run_id and totals.status not in ENDED
        ]

    def _is_planned(self, run_id: str) -> bool:
        """Whether a living worker is planning a run."""
        planner = self.firings.planner(run_id)
        return planner is not None and self.fleet.workers().get(planner) is not None

    # -- the planner's part --------------------------------------------------------------------------------

    def start(self, run_id: str) -> None:
        """Plans a firing's run, once however often this is called; after a transient error the next try does it.

        Raises:
            TransientError: S3 or Redis is out of reach.
        """
        if not self.fleet.holds_workspace:
            return  # the firing stays, and is handed out again
        token = self.firings.take(run_id, self.fleet.worker)
        if token is None:
            return
        try:
            firing = self._find(run_id)
            if firing is not None:
                with self._keeping(run_id, token):
                    self._plan(firing, token)
        finally:
            self.firings.leave(run_id, token)

    @contextmanager
    def _keeping(self, run_id: str, token: str) -> Iterator[None]:
        """Renews the right to plan a run meanwhile, however long a manifest is read."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(PLANNING / 4):
                with suppress(RestyleError):
                    self.firings.renew(run_id, self.fleet.worker, token)

        keeper = threading.Thread(target=renew, name="planner", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()

    def _plan(self, firing: Firing, token: str) -> None:
        try:
            self._begin(firing, token)
            self.close(firing, Ending.STARTED)
        except TransientError:
            raise
        except RestyleError as error:
            self._give_up(firing, error.message)
        except Exception as error:
            log.exception("bug")
            self._give_up(firing, f"bug: {type(error).__name__}: {error}")

    def _give_up(self, firing: Firing, why: str) -> None:
        self.on_error(firing, why)
        self.close(firing, Ending.NOT_STARTED, why)

    def _begin(self, firing: Firing, token: str) -> None:
        """Makes the firing's run known: as it is, or planned now from S3."""
        control = Control(
            self.store, self.workspace, self.progress, self.fleet, f"schedule {firing.name}",
            self.settings.heartbeat_seconds,
        )  # fmt: skip
        if self.store.head(self.workspace.run(firing.run_id)) is not None:
            # Cut off before Redis knew it; or Redis knew it, and has lost it since.
            if self.progress.totals(firing.run_id) is None:
                control.rebuild(read_run(firing.run_id, store=self.store, workspace=self.workspace))
            return
        # By S3, so that one is found that Redis has lost.
        for earlier in control.unfinished():
            if earlier.schedule == firing.name:
                log.info("ended for the next run of its schedule", run=earlier.run_id, next=firing.run_id)
                with suppress(AlreadyEnded):  # by itself, a moment ago
                    control.cancel(earlier.run_id)
        settings = self.settings.model_copy(update=firing.settings)
        plan = make_plan(
            firing.request, settings, workspace=self.workspace, store=self.store, run_id=firing.run_id
        )  # fmt: skip
        self._warn(plan, firing, settings)

        def alone(_written: int) -> None:
            if not self.firings.mine(firing.run_id, token):
                raise TransientError(f"another worker plans {firing.run_id} by now")

        with closing(Unchanged(plan, self.store, self.workspace)) as unchanged:
            # Before run.json: a night that exists says what it found changed.
            changes = compare(
                plan, store=self.store, workspace=self.workspace, settings=settings, unchanged=unchanged
            )  # fmt: skip
            put_diff(changes, firing.run_id, self.store, self.workspace)
            run = write_shards(
                plan, workspace=self.workspace, store=self.store, shard_jobs=settings.shard_jobs, by=control.by,
                progress=alone, unchanged=unchanged,
            )  # fmt: skip
        alone(run.planned)
        control.admit(run)

    def _warn(self, plan: Plan, firing: Firing, settings: Settings) -> None:
        """Logs what a person would be asked about before it is queued."""
        warnings: list[str] = []
        if settings.probe_outputs:
            warnings += probe(plan, store=self.store, workspace=self.workspace, with_workspace=False)
        # Nobody is there to be asked: what would be replaced goes to replaced/ first.
        warnings += find_clashes(plan, store=self.store, workspace=self.workspace).sentences()
        for warning in warnings:
            log.warning("before it is queued", run=firing.run_id, warning=warning)

    def close(self, firing: Firing, ending: Ending, detail: str = "") -> None:
        """Ends a firing, where everybody sees it: in S3 first, so that Redis's word cannot begin it again."""
        end = firing.ended(ending, detail)
        self.fired.close(end)
        if self.firings.close(end):
            tell = log.warning if ending is Ending.NOT_STARTED else log.info
            tell(ending.value, schedule=firing.name, run=firing.run_id, reason=detail)
