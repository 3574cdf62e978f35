"""What may come in from the queue: plain JSON of a bounded size that carries one of our tasks.

Anybody who can write to Redis can put anything there, so an entry is read here before kombu and Celery see it, and made
anew of the three things that count: the task, its id and its body. Nothing else of it reaches them: no content type, no
compression, no objects of kombu's, no tag or route of the sender's choice.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from math import isfinite
from typing import Any, NoReturn
from uuid import uuid4

from config.celery_app import FINISH_TASK, IMAGE_TASK, QUEUES, RUNS, START_TASK

#: Bytes of a message's body: a job's 15,000 (producers/planning/jobs/resolve.py), and its place in its run.
MAX_BODY = 16_000
#: Bytes of an entry: such a body in base64, and what Celery writes around it.
MAX_ENTRY = 24_000
#: Levels of lists and objects within each other; a job's message has five.
MAX_NESTING = 20
#: Characters of a number; a seed has ten.
MAX_DIGITS = 30
#: The tasks that may come by each queue.
TASKS = {RUNS: {START_TASK, FINISH_TASK}, **{queue: {IMAGE_TASK} for queue in QUEUES.values()}}

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class NotOurs(ValueError):
    """An entry of the queue, or its body, that is no message of ours."""


def read_entry(entry: bytes, queue: str) -> dict[str, Any]:
    """An entry of a queue as kombu takes it.

    Raises:
        NotOurs: it is no message of ours.
    """
    if len(entry) > MAX_ENTRY:
        raise NotOurs(f"it has {len(entry):,} bytes, and a message has {MAX_ENTRY:,} at most")
    match read_json(entry):
        case {"body": str(body), "content-type": "application/json", "content-encoding": "utf-8",
              "headers": {"task": str(task), "id": str(name), **headers},
              "properties": {"body_encoding": "base64"}}:  # fmt: skip
            pass
        case _:
            raise NotOurs("it has not the form of a message")
    if task not in TASKS.get(queue, ()):
        raise NotOurs(f"no task {task[:100]!r} comes by {queue}")
    if not _ID.fullmatch(name) or headers.get("compression") is not None:
        raise NotOurs("its id is none, or it is packed")
    try:
        size = len(b64decode(body, validate=True))
    except (binascii.Error, ValueError):
        raise NotOurs("its body is no base64") from None
    if size > MAX_BODY:
        raise NotOurs(f"its body has {size:,} bytes, and one has {MAX_BODY:,} at most")
    return _made_anew(task, name, body, queue)


def read_json(text: bytes | str) -> Any:
    """JSON in UTF-8 of plain values, with numbers and nesting bounded; whoever calls has bounded its size.

    Raises:
        NotOurs: it is no such JSON.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        value = json.loads(text, parse_int=_integer, parse_float=_decimal, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise NotOurs(f"it is no JSON of ours: {type(error).__name__}: {error}"[:200]) from None
    if text.count("[") + text.count("{") > MAX_NESTING:
        _check_nesting(value)
    return value


def _made_anew(task: str, name: str, body: str, queue: str) -> dict[str, Any]:
    """The form of protocol 2 (docs.celeryq.dev), with a tag that no other message has: kombu keeps one of each."""
    return {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {
            "lang": "py", "task": task, "id": name, "root_id": name, "parent_id": None, "group": None, "eta": None,
            "expires": None, "retries": 0, "timelimit": [None, None], "argsrepr": "", "kwargsrepr": "",
            "ignore_result": True,
        },
        "properties": {
            "correlation_id": name, "reply_to": "", "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
            "delivery_tag": str(uuid4()), "delivery_info": {"exchange": "", "routing_key": queue},
        },
    }  # fmt: skip


def _check_nesting(value: Any) -> None:
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise NotOurs(f"it is nested more than {MAX_NESTING} levels deep")


def _bounded(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise NotOurs(f"a number has {len(text):,} characters")
    return text


def _integer(text: str) -> int:
    return int(_bounded(text))


def _decimal(text: str) -> float:
    number = float(_bounded(text))
    return number if isfinite(number) else _constant(text)


def _constant(text: str) -> NoReturn:
    raise NotOurs(f"{text} is no number")
