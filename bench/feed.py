"""`feed.py JOBS`: feeds all jobs of the only run, and prints the cost; a process of its own, as a producer's."""

from __future__ import annotations

import json
import sys
import time

from config.celery_app import QUEUES, make_celery
from config.connections import limits, open_state, open_store
from config.reading import load_settings
from producers.dispatch.feeder import Feeder
from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.progress import Progress

settings = load_settings(window_jobs=int(sys.argv[1]) + 1000)
state, store = open_state(settings, settings.account or ""), open_store(settings)
feeder = Feeder(
    make_celery(settings), Progress(state), Fleet(state, limits(settings)), store, settings.effective_workspace,
    settings.window_jobs, settings.refeed_after,
)  # fmt: skip
(run_id,) = feeder.progress.unfinished()


def queued() -> int:
    """Messages on the queue."""
    return int(state.ask("LLEN", state.key(QUEUES["normal"])))


before, cpu, wall = queued(), time.process_time(), time.monotonic()
feeder.advance(run_id)
cpu, wall = time.process_time() - cpu, time.monotonic() - wall
jobs = queued() - before
print(json.dumps({"jobs": jobs, "cpu": cpu, "wall": wall, "rate": jobs / cpu}))  # noqa: T201 - its answer
