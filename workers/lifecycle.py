"""The life of a worker process around Celery: logs, heartbeat, dispatcher, and a drain that loses nothing."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import structlog
from celery import Celery, signals

from config import logs
from config.settings import Settings
from producers.dispatch.feeder import Feeder
from restyle.coordination.workspace.renewal import Renewal, leave
from restyle.errors import RestyleError, StateUnavailable
from restyle.runtime import allocator
from tasks.resources import Resources
from workers.background.dispatcher import Dispatcher
from workers.background.fetcher import FetchThread
from workers.background.heartbeat import Heartbeat
from workers.background.notifier import Notifier
from workers.background.spooler import Spooler
from workers.gauges import Gauges
from workers.health import Health, connection_checks
from workers.rotation import Roster
from workers.traces import open_traces
from workers.waiting import until_taken
from workers.watchdog import EXIT, Watchdog

log = structlog.get_logger("restyle.worker")


def connect(app: Celery, settings: Settings, resources: Resources) -> None:
    """Hooks a worker's life into Celery's signals."""
    parts = _Parts(app, settings, resources)
    watchdog = Watchdog(resources, app.conf.worker_concurrency, parts.end)
    watchdog.watch(app)

    @signals.setup_logging.connect(weak=False)
    def on_logging(**_: Any) -> None:
        logs.configure(settings.log_format, settings.log_level)

    @signals.worker_init.connect(weak=False)
    @essential
    def on_init(**_: Any) -> None:
        # The first beat comes before the first message: a worker without one may take none.
        until_taken(parts.say_hello)
        parts.start()

    @signals.worker_ready.connect(weak=False)
    @essential
    def on_ready(**_: Any) -> None:
        worker, uri = resources.tools.fleet.worker, resources.workspace.uri
        log.info("ready", worker=worker, concurrency=settings.concurrency, workspace=uri)
        watchdog.start()
        allocator.return_memory()
        allocator.collect_rarely()

    @signals.worker_shutting_down.connect(weak=False)
    def on_drain(**_: Any) -> None:
        # No new call from here on; what is in flight ends and is stored, the rest is fed again.
        resources.tools.stopping.set()
        parts.dispatcher.stop()
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(name, _leave_at_once)

    @signals.worker_shutdown.connect(weak=False)
    def on_shutdown(**_: Any) -> None:
        parts.end()
        resources.close()


class _Parts:
    """What runs in a worker beside its jobs, each in a thread of its own."""

    def __init__(self, app: Celery, settings: Settings, resources: Resources) -> None:
        self._resources = resources
        self._settings = settings
        self._heartbeat = Heartbeat(resources)
        feeder = Feeder(
            app, resources.progress, resources.tools.fleet, resources.store, resources.workspace,
            settings.window_jobs, settings.refeed_after,
        )  # fmt: skip
        self.dispatcher = Dispatcher(resources, feeder)
        resources.holding.notice = lambda text: log.warning("workspace", standing=text)
        self._renewal = Renewal(
            resources.holding, on_error=lambda why: log.warning("the workspace is not renewed", reason=why)
        )
        self._spooler = Spooler(resources)
        self._fetcher = FetchThread(resources)
        rotation = resources.tools.rotation
        self._notifier = Notifier(
            resources.notifications, settings.dispatch_seconds, lambda: rotation.troubles.get("s3", "")
        )
        self._roster = Roster(resources, app)
        self._health = _health(settings, resources)
        self._end_traces = open_traces(resources) if settings.traces else lambda: None

    def say_hello(self) -> None:
        """The first heartbeat, and the account that this worker uses."""
        self._heartbeat.beat()
        state = self._resources.state
        state.ask("SET", state.key("account"), self._settings.account or "")

    def start(self) -> None:
        """Starts each part."""
        self._heartbeat.start()
        self._renewal.start()
        # Before the dispatcher frees the jobs of dead workers: an answer that lay on disk is no call in doubt.
        self._spooler.hand_on()
        self._spooler.start()
        self.dispatcher.start()
        self._fetcher.start()
        self._notifier.start()
        self._roster.start()
        if self._health:
            self._health.start()

    def end(self) -> None:
        """Ends each part, the heartbeat last."""
        end_all(
            self.dispatcher.stop, self._fetcher.stop, self._notifier.stop, self._spooler.stop, self._renewal.stop,
            self._heartbeat.stop, lambda: leave_workspace(self._resources), self._end_traces,
        )  # fmt: skip


def end_all(*stops: Callable[[], None]) -> None:
    """Ends each part of a worker, whatever the others meet."""
    for stop in stops:
        try:
            stop()
        except Exception:
            log.exception("a part of the worker did not end well")


def essential(begin: Callable[..., None]) -> Callable[..., None]:
    """Has a fault of a receiver of Celery's signals end the process.

    Celery writes down what a receiver raises and goes on: as a worker without a heartbeat, or without a watchdog.
    """

    @functools.wraps(begin)
    def call(**given: Any) -> None:
        try:
            begin(**given)
        except RestyleError as error:
            sys.exit(f"restyle: {error.message}")
        except Exception:
            log.exception("this worker cannot begin")
            sys.exit(EXIT)

    return call


def leave_workspace(resources: Resources) -> None:
    """The last worker of a Redis that ends with it, or that has nothing to do, says in S3 that it is gone."""
    try:
        is_last = not any(resources.tools.fleet.workers().values())
    except StateUnavailable:
        return
    if is_last:
        leave(resources.holding, if_idle=resources.settings.local_redis is None)


def _health(settings: Settings, resources: Resources) -> Health | None:
    """What a worker tells of itself: it is ready while it may make calls, be the fleet suspended or not."""
    if settings.health_address is None:
        return None
    fleet, tools = resources.tools.fleet, resources.tools

    def at_work() -> None:
        if tools.stopping.is_set():
            raise RestyleError("draining")
        if not fleet.is_heartbeat_fresh:
            raise StateUnavailable("no heartbeat has reached Redis lately: no call is begun")
        if tools.rotation.out:
            raise RestyleError(f"out of rotation: {tools.rotation.out}")

    return Health(
        settings.health_address,
        lives=lambda: None,
        ready={**connection_checks(resources.state, resources.store, resources.workspace), "worker": at_work},
        gauges=Gauges(resources.state, fleet.limits, account=settings.account),
    )


def _leave_at_once(number: int, _frame: FrameType | None) -> None:
    """A second signal: the calls in flight are left in doubt, as at a kill."""
    os._exit(128 + number)
