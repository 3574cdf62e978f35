"""A small fleet in this process: heart, dispatcher, reconciler and some threads that do what is queued; no Celery loop.

S3, Valkey and the sandbox are real, and so is all code but Celery's own; what a process takes to start is saved.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from config.celery_app import FINISH_TASK, IMAGE_TASK, QUEUES, RUNS, START_TASK, make_celery
from producers.dispatch.feeder import Feeder
from producers.planning.shards import write_shards
from producers.runs.control import Control
from producers.runs.snapshot import Snapshot, read_run, snapshot
from restyle.errors import RunUnreadable, StateUnavailable
from restyle.models import Run
from tasks import image, runs
from tasks.resources import Resources
from tests.support.bench import Bench, running_bench
from tests.support.holding import hold
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until
from workers.background.dispatcher import Dispatcher
from workers.background.heartbeat import Heartbeat

#: The protocol's intervals, short.
QUICK: dict[str, Any] = {
    "heartbeat_seconds": 0.1, "heartbeat_ttl": 1.0, "dead_after": 0.5, "dispatch_seconds": 0.05, "refeed_after": 2.0,
    "shard_jobs": 5, "price": 1.0, "concurrency": 4,
}  # fmt: skip


@dataclass
class Works:
    """A fleet of one worker, and a person's levers."""

    bench: Bench
    feeder: Feeder
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def resources(self) -> Resources:
        """The worker's."""
        return self.bench.resources

    @property
    def control(self) -> Control:
        """A person's levers."""
        here = self.resources
        beat = here.settings.heartbeat_seconds
        return Control(here.store, here.workspace, here.progress, here.tools.fleet, "me@here", beat)

    def catalog(self, count: int) -> str:
        """A manifest of so many entries, with their inputs in S3."""
        rows = [f"item-{number:03d},{self.bench.put(f'item-{number:03d}')}" for number in range(count)]
        return "\n".join(["id,image", *rows]) + "\n"

    def planned(self, manifest: str, **asked: Any) -> Run:
        """A run that is planned and does not exist yet."""
        here = self.resources
        plan = self.bench.plan(manifest, **asked)
        return write_shards(
            plan, workspace=here.workspace, store=here.store, shard_jobs=here.settings.shard_jobs, by="me@here"
        )

    def submit(self, manifest: str, **asked: Any) -> str:
        """Plans and submits; the run's id."""
        run = self.planned(manifest, **asked)
        self.control.submit(run, self.feeder)
        return run.run_id

    def look(self, run_id: str) -> Snapshot:
        """A run as `status` shows it."""
        here = self.resources
        run = read_run(run_id, store=here.store, workspace=here.workspace)
        return snapshot(run, store=here.store, workspace=here.workspace, progress=here.progress, fleet=here.tools.fleet)

    def stands(self, run_id: str, reason: str, *, within: float = 20) -> Snapshot:
        """Waits until Redis knows a run, it stands still for a reason, and no call is out."""

        def look() -> Snapshot | None:
            if self.resources.progress.totals(run_id) is None:
                return None
            standing = self.look(run_id).suspension
            if standing is None or standing.reason != reason or self.resources.tools.fleet.living_jobs:
                return None
            return self.look(run_id)  # the last of its jobs may have ended since

        return wait_until(look, timeout=within, description=f"{run_id} to be suspended: {reason}")

    def ended(self, run_id: str, *, within: float = 30) -> Snapshot:
        """Waits for the end of a run."""

        def look() -> Snapshot | None:
            now = self.look(run_id)
            return now if now.ended else None

        return wait_until(look, timeout=within, description=f"the end of {run_id}")

    def lose_everything(self) -> None:
        """Redis is empty from one moment to the next."""
        self.resources.state.ask("FLUSHALL")
        hold(self.resources.state)

    def spent_today(self) -> float:
        """What all runs have spent today, as budgets count it."""
        state = self.resources.state
        day = state.ask("HGET", state.key("periods"), "day")
        return float(state.ask("GET", state.key("spent", day)) or 0)

    # -- the worker ----------------------------------------------------------------------------------------

    def work(self) -> None:
        """Does what is queued, one after the other."""
        state = self.resources.state
        queues = [state.key(queue) for queue in (RUNS, *QUEUES.values())]
        while not self.over.is_set():
            try:
                text = next(filter(None, (state.ask("RPOP", queue) for queue in queues)), None)
                if text is None:
                    time.sleep(0.01)
                else:
                    self.do(json.loads(text))
            except (StateUnavailable, RunUnreadable):
                time.sleep(0.05)

    def do(self, message: dict[str, Any]) -> None:
        """One message, as Celery gives it to its task."""
        _, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        tasks = {IMAGE_TASK: image.restyle_image, FINISH_TASK: runs.finish, START_TASK: runs.start}
        tasks[message["headers"]["task"]](self.resources, kwargs)


@contextmanager
def running_works(
    s3: S3, redis_url: str, sandbox: SandboxServer, *, threads: int = 4, idle: bool = False, **settings: Any
) -> Iterator[Works]:
    """A fleet on these servers; an idle one has no worker, and moves nothing."""
    sandbox.control(price=1.0)
    with running_bench(s3, redis_url, sandbox, **{**QUICK, **settings}) as bench:
        here = bench.resources
        hold(here.state)
        feeder = Feeder(
            make_celery(here.settings), here.progress, here.tools.fleet, here.store, here.workspace,
            here.settings.window_jobs, here.settings.refeed_after,
        )  # fmt: skip
        works = Works(bench, feeder)
        if idle:
            yield works
            return
        heart, dispatcher = Heartbeat(here), Dispatcher(here, feeder)
        workers = [threading.Thread(target=works.work, daemon=True) for _ in range(threads)]
        heart.beat()
        for thread in (heart, dispatcher, *workers):
            thread.start()
        try:
            yield works
        finally:
            here.tools.stopping.set()
            works.over.set()
            dispatcher.stop()
            heart.stop()
            for thread in (dispatcher, *workers):
                thread.join(20)
            dispatcher.reconciler.join(20)
