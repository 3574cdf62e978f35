"""`celery -A workers.beat beat --scheduler workers.beat:Scheduler`, and `restyle beat`: what fires schedules.

Celery's beat gives the process and its loop; when something is due is decided by producers/scheduling/beat.py, and what
was fired is in Redis (docs/decisions/0010-beat.md). It needs no API key.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import structlog
from celery import signals
from celery.beat import Scheduler as CeleryScheduler

from workers.import_path import is_current_folder

# Celery's command has put it in front of our modules, which come from here on.
sys.path.sort(key=is_current_folder)

from config import logs
from config.celery_app import make_celery
from config.connections import limits, open_state, open_store
from config.reading import load_settings
from config.settings import Settings
from producers.scheduling.beat import Beat
from restyle.coordination.runs.firings import Firings
from restyle.errors import RestyleError
from restyle.runtime import core_dumps
from workers.gauges import Gauges
from workers.health import Health, connection_checks
from workers.waiting import meet

log = structlog.get_logger("restyle.beat")

#: Seconds until another try, while Redis is away.
AWAY = 1.0
#: Seconds without a poll of the schedules after which the process counts as stuck; a poll waits for Redis and S3.
SILENT = 120.0


def open_beat(settings: Settings) -> Beat:
    """The schedules of these settings, with their clients of S3 and Redis."""
    state = open_state(settings, settings.account or "", connections=4)
    return Beat(settings, Firings(state), open_store(settings, connections=2), settings.effective_workspace)


class Scheduler(CeleryScheduler):
    """Celery's scheduler with our schedules in the place of its own, and with no file to lose."""

    #: When it last looked, in monotonic seconds.
    looked = time.monotonic()

    def setup_schedule(self) -> None:
        """Celery has nothing to schedule itself."""

    def tick(self, *_: Any, **__: Any) -> float:
        """Fires what is due; whatever goes wrong costs one tick, never the process."""
        Scheduler.looked = time.monotonic()
        try:
            return beat.tick()
        except RestyleError as error:
            log.warning("tick missed", reason=error.message)
        except Exception:
            log.exception("tick failed")
        return AWAY

    @property
    def info(self) -> str:
        """What Celery prints of it at the start."""
        return f"    . schedules -> {len(beat.settings.schedule)}"


def lives() -> None:
    """Raises where the loop stands still."""
    silent = time.monotonic() - Scheduler.looked
    if silent > SILENT:
        raise RestyleError(f"no look at the schedules for {silent:.0f} s")


def open_health(settings: Settings, beat: Beat) -> Health | None:
    """What a beat tells of itself, and of the fleet while no worker runs."""
    if settings.health_address is None:
        return None
    state = beat.firings.state
    gauges = Gauges(state, limits(settings), account=settings.account)
    return Health(
        settings.health_address, lives=lives, ready=connection_checks(state, beat.store, beat.workspace), gauges=gauges
    )  # fmt: skip


@signals.setup_logging.connect(weak=False)
def on_logging(**_: Any) -> None:
    """Our logs in the place of Celery's."""
    logs.configure(settings.log_format, settings.log_level)


@signals.beat_init.connect(weak=False)
def on_init(**_: Any) -> None:
    """Says that it is up."""
    if health:
        health.start()
    log.info("beat is up", schedules=[schedule.name for schedule in settings.schedule])


core_dumps.write_none()
try:
    settings = load_settings()
    app = make_celery(settings)
    beat = open_beat(settings)
    meet(beat.firings.state)
    health = open_health(settings, beat)
except RestyleError as error:
    sys.exit(f"restyle: {error.message}")
