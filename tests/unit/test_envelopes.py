"""What an entry of the queue may be: the messages that we write pass, the largest too, and nothing else does."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from pydantic import SecretStr

from config.celery_app import FINISH_TASK, IMAGE_TASK, JOBS, RUNS, make_celery
from config.settings import Settings
from producers.dispatch.envelope import Envelope
from producers.planning.jobs.resolved import MAX_JOB_BYTES
from workers.envelopes import MAX_NESTING, NotOurs, read_entry, read_json

ENVELOPE: dict[str, Any] = {
    "body": base64.b64encode(b"[[], {}, {}]").decode(), "content-encoding": "utf-8",
    "content-type": "application/json", "headers": {"task": IMAGE_TASK, "id": "a-b"},
    "properties": {"body_encoding": "base64", "delivery_tag": "t", "delivery_info": {}},
}  # fmt: skip


def changed(**changes: Any) -> bytes:
    """The envelope with parts of it changed."""
    return json.dumps({**ENVELOPE, **changes}).encode()


def test_the_largest_message_that_is_planned_passes() -> None:
    """A job of all the bytes that a plan allows, in a run of the longest name, arrives to the letter."""
    app = make_celery(Settings(redis_url=SecretStr("redis://127.0.0.1:1/0"), workspace="s3://bucket/prefix"))
    job = json.dumps({"prompt": ""}).encode()
    job = job.replace(b'""', b'"' + "é".encode() * ((MAX_JOB_BYTES - len(job)) // 2) + b'"')
    told = {"v": 1, "run_id": "20260101T000000Z-" + "x" * 64, "shard": 999_999, "index": 499, "job_id": "0" * 24}
    entry = Envelope(app, IMAGE_TASK, JOBS).fill(told, job=job).encode()
    read = read_entry(entry, JOBS)
    assert read_json(base64.b64decode(read["body"]))[:2] == [[], {**told, "job": json.loads(job)}]


def test_an_entry_is_made_anew() -> None:
    """Tag, route, packing and all else that the sender chose is gone; task, id and body stay."""
    sent = changed(
        headers={"task": IMAGE_TASK, "id": "a-b", "eta": "2099", "shadow": "\x1b[2J", "x": {"__type__": "uuid"}},
        properties={"body_encoding": "base64", "delivery_tag": ["t"], "delivery_info": {"routing_key": "elsewhere"}},
    )
    one, other = read_entry(sent, JOBS), read_entry(sent, JOBS)
    assert (one["headers"]["task"], one["headers"]["id"], one["body"]) == (IMAGE_TASK, "a-b", ENVELOPE["body"])
    assert one["properties"]["delivery_tag"] != other["properties"]["delivery_tag"]
    assert one["properties"]["delivery_info"] == {"exchange": "", "routing_key": JOBS}
    assert {"shadow", "x"}.isdisjoint(one["headers"])
    assert one["headers"]["eta"] is None


@pytest.mark.parametrize(
    "entry",
    [
        b"", b"5", b"null", b"[]", b"{}", b"{broken", b"\xff\xfe", b"9" * 5_000, b"[" * 20_000, b"x" * 25_000, b"NaN",
        b'{"__type__": "decimal", "__value__": "abc"}',
        changed(body=5), changed(body="\u00e9"), changed(body="x"),
        changed(body=base64.b64encode(b"x" * 16_001).decode()),
        changed(**{"content-type": "application/x-python-serialize"}), changed(**{"content-encoding": "martian"}),
        changed(headers=[]), changed(headers={"task": ["a"], "id": "a"}), changed(headers={"task": IMAGE_TASK}),
        changed(headers={"task": "os.system", "id": "a"}), changed(headers={"task": FINISH_TASK, "id": "a"}),
        changed(headers={"task": IMAGE_TASK, "id": "a\n"}), changed(headers={"task": IMAGE_TASK, "id": "a" * 65}),
        changed(headers={"task": IMAGE_TASK, "id": "a", "compression": "application/x-bz2"}),
        changed(properties={}), changed(properties={"body_encoding": "utf-8"}),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(entry: bytes) -> None:
    """Each is refused in a short sentence, whatever it holds, before anything of Celery's reads it."""
    with pytest.raises(NotOurs) as caught:
        read_entry(entry, JOBS)
    assert len(str(caught.value)) <= 250


def test_a_task_comes_by_its_own_queue() -> None:
    """What ends a run comes by the queue of runs alone."""
    entry = changed(headers={"task": FINISH_TASK, "id": "a"})
    assert read_entry(entry, RUNS)["headers"]["task"] == FINISH_TASK


@pytest.mark.parametrize(
    "text",
    [
        "9" * 31,
        "-" + "9" * 31,
        "0." + "1" * 40,
        "1e" + "9" * 40,
        "1e400",
        "Infinity",
        "[" * 21 + "]" * 21,
        '{"a":' * 21,
    ],
)
def test_numbers_and_nesting_are_bounded(text: str) -> None:
    """JSON of a body that would cost more than it can tell is refused."""
    with pytest.raises(NotOurs):
        read_json(text)


def test_what_bodies_hold_is_read() -> None:
    """Numbers of a seed's size, brackets in a prompt and nesting within the bound are what they are."""
    deep = "[" * MAX_NESTING + "]" * MAX_NESTING
    assert read_json('{"seed": 4294967295, "prompt": "' + "[{" * 50 + '"}')["seed"] == 4294967295
    assert read_json(deep) is not None
