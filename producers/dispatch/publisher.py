"""Writes messages to the queue: those of jobs in batches, and those about whole runs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from config.celery_app import IMAGE_TASK, RUNS
from producers.dispatch.envelope import Envelope
from producers.dispatch.web_inputs import PlannedJob
from restyle.coordination.redis.client import State

if TYPE_CHECKING:
    from celery import Celery

#: Messages written to the queue at a time.
BATCH = 500


class Publisher:
    """The one that writes to the queue, by the connection that scripts take, with its time limits and its errors."""

    def __init__(self, app: Celery, state: State) -> None:
        self._app = app
        self._state = state
        self._envelopes: dict[tuple[str, str], Envelope] = {}

    def publish(self, queue: str, run_id: str, shard: int, jobs: Iterable[PlannedJob]) -> None:
        """Writes the messages of jobs, in batches."""
        envelope = self._envelope(queue, IMAGE_TASK)
        texts = (
            envelope.fill({"v": 1, "run_id": run_id, "shard": shard, "index": index, "job_id": job_id}, job=line)
            for index, job_id, line in jobs
        )
        while several := list(islice(texts, BATCH)):
            self._state.ask("LPUSH", self._state.key(queue), *several)

    def send(self, task: str, kwargs: dict[str, Any]) -> None:
        """Queues a task about a whole run."""
        self._state.ask("LPUSH", self._state.key(RUNS), self._envelope(RUNS, task).fill(kwargs))

    def _envelope(self, queue: str, task: str) -> Envelope:
        """What a task's messages on this queue have in common."""
        if (queue, task) not in self._envelopes:
            self._envelopes[queue, task] = Envelope(self._app, task, queue)
        return self._envelopes[queue, task]
