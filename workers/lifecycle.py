"""The life of a worker process around Celery: logs, heartbeat, dispatcher, and a drain that loses nothing."""

from __future__ import annotations

import os
import signal
import socket
import threading
from types import FrameType
from typing import Any

import structlog
from celery import Celery, signals

from config import logs
from config.settings import Settings
from producers.enqueue import Feeder
from restyle import memory
from restyle.errors import RestyleError, StateUnavailable
from tasks.resources import Resources
from workers.dispatcher import Dispatcher
from workers.gauges import Gauges
from workers.health import Health, doors
from workers.notifier import Notifier
from workers.spooler import Spooler
from workers.traces import open_traces
from workers.watchdog import Watchdog

log = structlog.get_logger("restyle.worker")


class Heart(threading.Thread):
    """Says every few seconds that this worker lives, until its last call is stored."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(name="heart", daemon=True)
        self._fleet = resources.tools.fleet
        self._settings = resources.settings
        self._stopping = resources.tools.stopping
        self._traffic = resources.tools.traffic
        self._over = threading.Event()

    def beat(self) -> None:
        """One heartbeat."""
        held = self._fleet.hands.snapshot()
        self._fleet.beat(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "concurrency": self._settings.concurrency,
                "taken": len(held),
                "in_flight": sum(1 for holding in held.values() if holding.calling_ms),
                "draining": self._stopping.is_set(),
                "ttl": self._settings.heartbeat_ttl,
                "api": self._traffic.last_minute().told(),
            }
        )

    def run(self) -> None:
        """Beats; while Redis is away it keeps trying, and the worker makes no new call (`Fleet.heart_fresh`)."""
        while not self._over.wait(self._settings.heartbeat_seconds):
            try:
                self.beat()
            except StateUnavailable as error:
                log.warning("heartbeat missed", reason=error.message)

    def stop(self) -> None:
        """Ends the heartbeat, and says goodbye so that nobody waits for it."""
        self._over.set()
        try:
            self._fleet.leave()
        except StateUnavailable:
            log.warning("left without a word: Redis cannot be reached")


def connect(app: Celery, settings: Settings, resources: Resources) -> None:
    """Hooks a worker's life into Celery's signals."""
    fleet, tools = resources.tools.fleet, resources.tools
    heart = Heart(resources)
    feeder = Feeder(
        app, resources.progress, fleet, resources.store, resources.workspace, settings.window_jobs,
        settings.refeed_after,
    )  # fmt: skip
    dispatcher = Dispatcher(resources, feeder)
    spooler = Spooler(resources)
    notifier = Notifier(resources.notifications, settings.dispatch_seconds)
    health = _health(settings, resources)

    end_traces = open_traces(resources) if settings.traces else lambda: None

    def leave() -> None:
        dispatcher.stop()
        notifier.stop()
        spooler.stop()
        heart.stop()
        end_traces()

    watchdog = Watchdog(resources, app.conf.worker_concurrency, leave)
    watchdog.watch(app)

    @signals.setup_logging.connect(weak=False)
    def on_logging(**_: Any) -> None:
        logs.configure(settings.log_format, settings.log_level)

    @signals.worker_init.connect(weak=False)
    def on_init(**_: Any) -> None:
        # The first beat comes before the first message: a worker without one may take none.
        heart.beat()
        resources.state.ask("SET", resources.state.key("account"), settings.account or "")
        heart.start()
        # Before the dispatcher frees the jobs of dead workers: an answer that lay on disk is no call in doubt.
        spooler.hand_on()
        spooler.start()
        dispatcher.start()
        notifier.start()
        if health:
            health.start()

    @signals.worker_ready.connect(weak=False)
    def on_ready(**_: Any) -> None:
        log.info("ready", worker=fleet.worker, concurrency=settings.concurrency, workspace=resources.workspace.uri)
        watchdog.start()
        memory.give_back()
        memory.collect_rarely()

    @signals.worker_shutting_down.connect(weak=False)
    def on_drain(**_: Any) -> None:
        # No new call from here on; what is in flight ends and is stored, the rest is fed again.
        tools.stopping.set()
        dispatcher.stop()
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(name, _leave_at_once)

    @signals.worker_shutdown.connect(weak=False)
    def on_shutdown(**_: Any) -> None:
        leave()
        resources.close()


def _health(settings: Settings, resources: Resources) -> Health | None:
    """What a worker tells of itself: it is ready while it may make calls, be the fleet suspended or not."""
    if settings.health_address is None:
        return None
    fleet, tools = resources.tools.fleet, resources.tools

    def at_work() -> None:
        if tools.stopping.is_set():
            raise RestyleError("draining")
        if not fleet.heart_fresh:
            raise StateUnavailable("no heartbeat has reached Redis lately: no call is begun")

    return Health(
        settings.health_address,
        lives=lambda: None,
        ready={**doors(resources.state, resources.store, resources.workspace), "worker": at_work},
        gauges=Gauges(resources.state, fleet.limits, account=settings.account),
    )


def _leave_at_once(number: int, _frame: FrameType | None) -> None:
    """A second signal: the calls in flight are left in doubt, as at a kill."""
    os._exit(128 + number)
