"""`breakdown.py JOBS`: does the jobs of the only run one by one, and prints the CPU of each step.

A worker takes more than the sum: Celery's part, and the cost of threads that share one interpreter.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pybase64

from config import logs
from config.celery_app import QUEUES, make_celery
from config.reading import load_settings
from producers.dispatch.feeder import Feeder
from producers.runs.recovery.doubts import recall
from restyle.coordination.workspace.renewal import Renewal
from restyle.runtime import allocator
from restyle.telemetry import steps
from tasks.image import restyle_image
from tasks.resources import Resources, open_resources

#: Jobs for warming up: clients, for instance, are opened at their first use.
WARM = 40


def main(jobs: int) -> None:
    """Feeds the jobs, does them, and prints the CPU; the process is set up as a worker's is."""
    allocator.hold_little()
    settings = load_settings(window_jobs=jobs + 1000)
    logs.configure(settings.log_format, settings.log_level)
    here = open_resources(settings)
    feeder = Feeder(
        make_celery(settings), here.progress, here.tools.fleet, here.store, here.workspace, settings.window_jobs,
        settings.refeed_after,
    )  # fmt: skip
    here.holding.hold()
    Renewal(here.holding, interest=True).start()
    threading.Thread(target=keep_alive, args=[here, feeder], daemon=True).start()
    messages = fed(here, feeder)
    for kwargs in messages[:WARM]:
        restyle_image(here, kwargs)
    allocator.collect_rarely()
    used = defaultdict[str, float](float)
    steps.listen(measuring(used))
    began = time.process_time()
    for kwargs in messages[WARM:]:
        restyle_image(here, kwargs)
    whole, count = time.process_time() - began, len(messages) - WARM
    used["outside"] = whole - sum(used.values())
    print(json.dumps({step: seconds * 1000 / count for step, seconds in used.items()}))  # noqa: T201 - its answer


def keep_alive(here: Resources, feeder: Feeder) -> None:
    """Sends heartbeats, without which no call begins, and does the dispatcher's part for a Redis that was emptied."""
    while True:
        here.tools.fleet.heartbeat({})
        recall(feeder)
        time.sleep(2.0)


def fed(here: Resources, feeder: Feeder) -> list[dict[str, Any]]:
    """The arguments of all messages of the run."""
    here.tools.fleet.heartbeat({})
    (run_id,) = here.progress.unfinished()
    feeder.advance(run_id)
    texts = here.state.ask("LRANGE", here.state.key(QUEUES["normal"]), 0, -1)
    return [json.loads(pybase64.b64decode(json.loads(text)["body"]))[1] for text in texts]


def measuring(used: defaultdict[str, float]) -> steps.Listener:
    """Adds up the CPU by step, without that of steps within it; the whole process's, since obstore has a thread."""
    within: list[float] = []

    @contextmanager
    def listen(name: str) -> Iterator[None]:
        began = time.process_time()
        within.append(0.0)
        try:
            yield
        finally:
            whole = time.process_time() - began
            used[name] += whole - within.pop()
            if within:
                within[-1] += whole

    return listen


if __name__ == "__main__":
    # As in a worker, not in the main thread, whose requests to S3 are botocore's alone.
    working = threading.Thread(target=main, args=[int(sys.argv[1])])
    working.start()
    working.join()
