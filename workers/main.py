"""`restyle worker`, or `celery -A workers.main worker`: the process that runs tasks."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType
from typing import Any

from celery.apps.worker import Worker as CeleryWorker
from kombu import serialization
from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.json import dumps

from workers.import_path import is_current_folder

# Celery's command has put the current folder before the folder of our modules, which are imported from here on.
sys.path.sort(key=is_current_folder)

from config import logs
from config.celery_app import make_celery
from config.reading import load_settings
from restyle.errors import RestyleError
from restyle.runtime import allocator, core_dumps
from tasks.register import register
from tasks.resources import open_resources
from workers import envelopes, lifecycle, resilient_consumer, waiting


class Worker(CeleryWorker):
    """Celery's worker without its banner, and without steps that cost time, or fail on Redis, and are not used here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(without_mingle=True, without_gossip=True, without_heartbeat=True, quiet=True)
        super().__init__(*args, **kwargs)

    def install_platform_tweaks(self, worker: Any) -> None:
        """Installs Celery's signal handlers, except that SIGHUP drains, as SIGTERM does.

        Celery's own handler would restart this process and cut off its calls in flight.
        """
        before = signal.getsignal(signal.SIGHUP)
        super().install_platform_tweaks(worker)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if before is signal.SIG_IGN else _hang_up)


def _hang_up(_number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    drain = signal.getsignal(signal.SIGTERM)
    if resources.tools.stopping.is_set() or not callable(drain):
        return
    drain(signal.SIGTERM, frame)
    # The end of a session sends SIGTERM with SIGHUP; that is no second signal, which would cut off calls in flight.
    at_once = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, at_once))


allocator.hold_little()
core_dumps.write_none()
try:
    settings = load_settings()
    # At once, since Celery logs warnings before it sets up its logging.
    logs.configure(settings.log_format, settings.log_level)
    if settings.sends_key_in_clear:
        log = logging.getLogger("restyle.worker")
        log.warning("the API key is sent in clear to %s: use https://", settings.api_url)
    app = make_celery(settings)
    resources = open_resources(settings)
    waiting.meet(resources.state)
    # Before the first job, so that the memory of making the client is returned, and garbage collections skip it.
    resources.store.make_ready(resources.workspace.uri)
    lifecycle.connect(app, settings, resources)
except RestyleError as error:
    sys.exit(f"restyle: {error.message}")
TRANSPORT_ALIASES.update(resilient_consumer.TRANSPORTS)
app.conf.update(worker_consumer="workers.resilient_consumer:Consumer")
app.Worker = app.subclass_with_self(Worker)  # type: ignore[misc] # the seam by which Celery makes its own
register(app, resources)
# As kombu's JSON, but with bounds, and without kombu's forms of times and UUIDs, which no message of ours has.
serialization.register("json", dumps, envelopes.read_json, "application/json", "utf-8")

if __name__ == "__main__":
    # As `celery -A workers.main worker`, but without Celery's command line, which would take 8 MB of memory.
    worker = app.Worker()
    worker.start()
    sys.exit(worker.exitcode)
