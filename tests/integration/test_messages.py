"""Messages that are written fast are the messages that Celery writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from config.celery_app import IMAGE_TASK, JOBS, make_celery
from config.settings import Settings
from producers.dispatch.envelope import Envelope
from restyle.coordination.redis.client import State

JOB = {"id": 'grün "<id>" <tag> <body>', "meta": {"a": "b"}}
KWARGS = {"v": 1, "run_id": "20260101T000000Z-abcdef"}


@pytest.fixture
def state(redis_url: str) -> Iterator[State]:
    """The queue's Redis."""
    state = State(redis_url, namespace="restyle:00000000:", account="0")
    yield state
    state.close()


def shape(value: Any) -> Any:
    """What a message is made of: its fields and their types."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    return type(value).__name__


def test_a_filled_envelope_is_what_celery_sends(state: State, redis_url: str) -> None:
    """Field by field the same as `send_task`'s, and read by kombu's own consumer with the same arguments."""
    settings = Settings(redis_url=SecretStr(redis_url), workspace="s3://bucket/prefix")
    app = make_celery(settings)
    key = settings.effective_workspace.namespace + JOBS
    app.send_task(IMAGE_TASK, kwargs={**KWARGS, "job": JOB}, queue=JOBS, ignore_result=True, argsrepr="", kwargsrepr="")
    theirs = json.loads(state.ask("RPOP", key))
    envelope = Envelope(app, IMAGE_TASK, JOBS)
    ours = [json.loads(envelope.fill(KWARGS, job=json.dumps(JOB).encode())) for _ in range(2)]
    assert shape(ours[0]) == shape(theirs)
    changing = {"id", "root_id", "correlation_id", "delivery_tag", "reply_to"}
    for part in ("headers", "properties"):
        same = theirs[part].keys() - changing
        assert {name: ours[0][part][name] for name in same} == {name: theirs[part][name] for name in same}
    assert ours[0]["body"] == theirs["body"]
    one, other = ours
    assert one["headers"]["id"] != other["headers"]["id"]
    assert one["properties"]["delivery_tag"] != other["properties"]["delivery_tag"]
    assert ours[0]["headers"]["id"] == ours[0]["headers"]["root_id"] == ours[0]["properties"]["correlation_id"]

    state.ask("LPUSH", key, envelope.fill(KWARGS, job=json.dumps(JOB, ensure_ascii=False).encode()))
    with app.connection_for_read() as connection:
        message = connection.SimpleQueue(JOBS).queue.bind(connection.default_channel).get()
        assert message is not None
        assert message.payload[:2] == [[], {**KWARGS, "job": JOB}]
        message.ack()
