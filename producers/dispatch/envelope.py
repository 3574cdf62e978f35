"""Messages in Celery's own form, written fast: the envelope is made once by Celery itself, then filled for each job.

`send_task` takes half a millisecond a message; a job's part of it is its ids and its body. What Celery put into the
envelope (protocol 2 of docs.celeryq.dev, in kombu's form for Redis) stays as it is, so any Celery worker reads it.
The fields of a job's message are `Message` in restyle/models.py.
"""

from __future__ import annotations

import json
import re
from os import urandom
from typing import TYPE_CHECKING, Any

import pybase64

if TYPE_CHECKING:
    from celery import Celery

_ID, _TAG, _BODY = "<id>", "<tag>", "<body>"
_BLANKS = re.compile(f"({_ID}|{_TAG}|{_BODY})")


class Envelope:
    """What a task's messages have in common on one queue."""

    def __init__(self, app: Celery, task: str, queue: str) -> None:
        from kombu import Connection

        with Connection("memory://") as nowhere:
            channel: Any = nowhere.channel()
            app.send_task(
                task, kwargs={}, task_id=_ID, producer=app.amqp.Producer(channel), queue=queue, ignore_result=True,
                retry=False, argsrepr="", kwargsrepr="",
            )  # fmt: skip
            sample = channel._get(queue)  # noqa: SLF001 - the raw message, as the transport keeps it
        _, _, embedded = json.loads(pybase64.b64decode(sample["body"]))
        self._embedded = json.dumps(embedded)
        sample["body"], sample["properties"]["delivery_tag"] = _BODY, _TAG
        self._parts = _BLANKS.split(json.dumps(sample))

    def fill(self, kwargs: dict[str, Any], *, job: bytes | None = None) -> str:
        """A message with these arguments and `job`, which is JSON by now; ready for the queue's list."""
        given = json.dumps(kwargs)
        if job is not None:
            given = f'{given[:-1]}, "job": {job.decode()}}}'
        body = f"[[], {given}, {self._embedded}]"
        filled = {_ID: _unique(), _TAG: _unique(), _BODY: pybase64.b64encode(body.encode()).decode()}
        return "".join([filled.get(part, part) for part in self._parts])


def _unique() -> str:
    """A random id in the form of a UUID, in a third of the time that the library's take."""
    digits = urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
