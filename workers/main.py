"""`restyle worker`, or `celery -A workers.main worker`: the process that runs tasks."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from celery.apps.worker import Worker as CeleryWorker

from config import logs
from config.celery_app import make_celery
from config.settings import load_settings
from restyle.errors import RestyleError
from tasks.register import register
from tasks.resources import open_resources
from workers import lifecycle

#: Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def hold_little_memory() -> None:
    """Has glibc's allocator use two arenas rather than eight a core, and give large blocks back when they are freed.

    With a thread a call, each arena would keep the largest pictures that its threads have held.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # another C library
    mallopt(_M_ARENA_MAX, 2)
    mallopt(_M_MMAP_THRESHOLD, 4 * 1024 * 1024)
    mallopt(_M_TRIM_THRESHOLD, 16 * 1024 * 1024)


class Worker(CeleryWorker):
    """Celery's worker without its banner, and without steps that cost time or fail on Redis and serve nothing here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(without_mingle=True, without_gossip=True, without_heartbeat=True, quiet=True)
        super().__init__(*args, **kwargs)


hold_little_memory()
try:
    settings = load_settings()
    # At once, since Celery warns of things before it asks for its logs to be set up.
    logs.configure(settings.log_format, settings.log_level)
    app = make_celery(settings)
    resources = open_resources(settings)
    resources.state.ping()
    lifecycle.connect(app, settings, resources)
except RestyleError as error:
    sys.exit(f"restyle: {error.message}")
app.conf.update(broker_transport="workers.foreign:Transport", worker_consumer="workers.foreign:Consumer")
app.Worker = app.subclass_with_self(Worker)  # type: ignore[misc] # the seam by which Celery makes its own
register(app, resources)

if __name__ == "__main__":
    # As `celery -A workers.main worker`, but without Celery's command line, which would stay in memory with 8 MB.
    worker = app.Worker()
    worker.start()
    sys.exit(worker.exitcode)
