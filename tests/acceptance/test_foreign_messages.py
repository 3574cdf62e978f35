"""Messages that are not ours, on a real broker: acknowledged and dropped, unpaid, and the worker goes on."""

from __future__ import annotations

import base64
import bz2
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from config.celery_app import FINISH_TASK, IMAGE_TASK, JOBS
from restyle.coordination.redis.client import State
from restyle.models import Message, Params
from restyle.s3.store import Store
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

Kwargs = dict[str, Any]
PICKLE = "application/x-python-serialize"

#: What a message of a few hundred bytes unpacks to; packing it takes a second, so that only its test does.
BOMB_OF = 100_000_000


class Queue:
    """The queue of a workspace, as anybody sees it who can write to Redis."""

    def __init__(self, url: str, namespace: str) -> None:
        """Connects."""
        self.state = State(url, namespace=namespace, account="")
        self.name = self.state.key(JOBS)

    def push_raw(self, text: str | bytes) -> None:
        """Puts text on the list, whatever it is."""
        self.state.redis.lpush(self.name, text)

    def push(self, kwargs: object, **changes: Any) -> None:
        """A message as kombu writes it, with parts of it changed; None leaves one out."""
        body = changes.pop("body", json.dumps([[], kwargs, {}]).encode())
        headers = {
            "lang": "py", "task": IMAGE_TASK, "id": uuid4().hex, "root_id": None, "parent_id": None, "group": None,
            "eta": None, "expires": None, "retries": 0, "timelimit": [None, None], "argsrepr": "", "kwargsrepr": "",
            "ignore_result": True, **changes.pop("headers", {}),
        }  # fmt: skip
        properties = {
            "correlation_id": headers["id"], "reply_to": "", "delivery_mode": 2, "priority": 0,
            "delivery_info": {"exchange": "", "routing_key": JOBS}, "body_encoding": "base64",
            "delivery_tag": uuid4().hex,
        }  # fmt: skip
        envelope = {
            "body": base64.b64encode(body).decode(), "content-encoding": "utf-8", "content-type": "application/json",
            "headers": {key: value for key, value in headers.items() if value != "left out"},
            "properties": properties, **changes,
        }  # fmt: skip
        self.push_raw(json.dumps({key: value for key, value in envelope.items() if value is not None}))

    def take_all(self) -> list[Kwargs]:
        """Every message that waits, gone from the queue: what it carries."""
        texts = self.state.redis.lrange(self.name, 0, -1)
        self.state.redis.delete(self.name)
        return [json.loads(base64.b64decode(json.loads(text)["body"]))[1] for text in texts]

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and nothing is out without an answer."""
        return not self.state.redis.llen(self.name) and not self.state.redis.hlen(self.state.key("unacked"))


@pytest.fixture
def queue(fleet: FleetOf, redis_url: str) -> Iterator[Queue]:
    """The fleet's queue."""
    queue = Queue(redis_url, fleet.workspace.namespace)
    yield queue
    queue.state.close()


def gone(queue: Queue, worker: subprocess.Popen[str], what: str) -> None:
    """Waits until the worker has dropped all that waits, the last of which it understands."""
    queue.push(ours())

    def look() -> bool:
        assert worker.poll() is None, f"the worker died of: {what}"
        return queue.is_empty

    wait_until(look, timeout=40, description=f"the end of: {what}")


def peak_memory(pid: int) -> int:
    """The most memory that a process has used, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1000


def ours(**changes: Any) -> Kwargs:
    """A message of a run that nobody knows, well formed but for the changes."""
    job = {
        "id": "a", "variant": "default", "image": "s3://b/a.jpg", "params": {"prompt": "p"}, "output": "s3://b/o.jpg",
    }  # fmt: skip
    told = {"v": 1, "run_id": "20260131T021500Z-ab12cd", "shard": 0, "index": 0, "job_id": "0" * 24, "job": job}
    return {**told, **changes}


def without(name: str) -> Kwargs:
    """A message with a field missing."""
    return {key: value for key, value in ours().items() if key != name}


#: What is wrong with it -> how it is pushed.
FOREIGN: dict[str, Callable[[Queue], None]] = {
    "another version": lambda queue: queue.push(ours(v=2)),
    "a version of 100 kB": lambda queue: queue.push(ours(v="9" * 100_000)),
    "no run": lambda queue: queue.push(without("run_id")),
    "no job": lambda queue: queue.push(without("job")),
    "an unknown field": lambda queue: queue.push(ours(surprise=1)),
    "a job that is a list": lambda queue: queue.push(ours(job=[1])),
    "a shard that is text": lambda queue: queue.push(ours(shard="zero")),
    "a shard without end": lambda queue: queue.push(ours(shard=10**400)),
    "a negative place": lambda queue: queue.push(ours(index=-1)),
    "a run that does not exist": lambda queue: queue.push(ours()),
    "a run whose name is another key": lambda queue: queue.push(ours(run_id="x:open")),
    "a run outside the workspace": lambda queue: queue.push(ours(run_id="../../x")),
    "1 MB of junk": lambda queue: queue.push({f"field-{n}": "x" * 1000 for n in range(1000)}),
    "kwargs that are a list": lambda queue: queue.push([1, 2]),
    "kwargs that are text": lambda queue: queue.push("text"),
    "positional arguments": lambda queue: queue.push({}, body=b'[[1, 2], {}, {}]'),
    "a body that is a number": lambda queue: queue.push({}, body=b"5"),
    "a body that is null": lambda queue: queue.push({}, body=b"null"),
    "a body that is an object": lambda queue: queue.push({}, body=b'{"args": 1}'),
    "a body of two parts": lambda queue: queue.push({}, body=b"[[], {}]"),
    "a body whose third part is text": lambda queue: queue.push({}, body=b'[[], {}, "x"]'),
    "a body that is no JSON": lambda queue: queue.push({}, body=b"{broken"),
    "a body that is no UTF-8": lambda queue: queue.push({}, body=b"\xff\xfe\x00"),
    "a body nested deeply": lambda queue: queue.push({}, body=b"[" * 100_000),
    "no body": lambda queue: queue.push({}, body=b""),
    "a pickle": lambda queue: queue.push({}, body=b"cos\nsystem\n(S'true'\ntR.", **{"content-type": PICKLE}),
    "YAML": lambda queue: queue.push({}, body=b"- []\n- {}\n- {}\n", **{"content-type": "application/x-yaml"}),
    "an encoding that is none": lambda queue: queue.push({}, **{"content-encoding": "martian"}),
    "an unknown task": lambda queue: queue.push({}, headers={"task": "os.system"}),
    "no task": lambda queue: queue.push({}, headers={"task": "left out"}),
    "a task that is a list": lambda queue: queue.push({}, headers={"task": ["a"]}),
    "no id": lambda queue: queue.push(ours(), headers={"id": "left out"}),
    "a time that is none": lambda queue: queue.push(ours(), headers={"eta": "tomorrow"}),
    "an end that is none": lambda queue: queue.push(ours(), headers={"expires": "never"}),
    "a time limit that is none": lambda queue: queue.push(ours(), headers={"timelimit": "x"}),
    "an envelope that is no JSON": lambda queue: queue.push_raw("{broken"),
    "an envelope that is no text": lambda queue: queue.push_raw(b"\xff\xfe"),
    "an envelope that is a number": lambda queue: queue.push_raw("5"),
    "an envelope without properties": lambda queue: queue.push_raw('{"body": ""}'),
    "an envelope whose body is no base64": lambda queue: queue.push_raw(
        '{"body": "x", "properties": {"body_encoding": "base64", "delivery_tag": "t"}}'
    ),
    "a number of 5,000 digits": lambda queue: queue.push_raw("9" * 5_000),
    "an envelope nested deeply": lambda queue: queue.push_raw("[" * 20_000),
    "an envelope of 200 kB nested deeply": lambda queue: queue.push_raw("[" * 200_000),
    "an object of kombu's": lambda queue: queue.push_raw('{"__type__": "x", "__value__": 1}'),
    "a decimal of kombu's": lambda queue: queue.push_raw('{"__type__": "decimal", "__value__": "abc"}'),
    "a UUID of kombu's": lambda queue: queue.push({}, headers={"x": {"__type__": "uuid", "__value__": "abc"}}),
    "a time of kombu's": lambda queue: queue.push({}, headers={"x": {"__type__": "datetime", "__value__": "abc"}}),
    "a packed body": lambda queue: queue.push(
        {}, body=bz2.compress(b"0" * BOMB_OF), headers={"compression": "application/x-bz2"}
    ),
    "a body of 5,000 digits": lambda queue: queue.push({}, body=b"[[], {}, " + b"9" * 5_000 + b"]"),
    "an envelope of 30 MB": lambda queue: queue.push_raw(b"x" * 30_000_000),
    "a control character": lambda queue: queue.push_raw("\x1b[2J\n"),
    "another queue's name": lambda queue: queue.push(ours(), properties={"delivery_tag": "t", "delivery_info": 5}),
    "a tag that is a list": lambda queue: queue.push(ours(), properties={"delivery_tag": ["t"]}),
    "the report of no run": lambda queue: queue.push({"run_id": "../x"}, headers={"task": FINISH_TASK}),
    "the report of nothing": lambda queue: queue.push({}, headers={"task": FINISH_TASK}),
}  # fmt: skip


@pytest.mark.long
def test_what_is_not_ours_is_dropped(fleet: FleetOf, queue: Queue, sandbox: SandboxServer) -> None:
    """Each kind of foreign message is acknowledged by a worker that lives on, pays nothing, and can still work."""
    write_catalog(fleet.command.folder, 5)
    with fleet.worker() as worker:
        fleet.wait_for_workers(1)
        for push in FOREIGN.values():
            push(queue)
        gone(queue, worker, "a foreign message: the last one in its log")
        assert sandbox.calls == 0
        done = fleet.finished(fleet.submit(), within=60)
        gone(queue, worker, "the good messages")
        assert peak_memory(worker.pid) < 400
    assert (done["succeeded"], sandbox.charged) == (5, 5)
    (log,) = fleet.command.folder.glob("worker-*.log")
    assert "\x1b" not in log.read_text(errors="replace")
    assert len(log.read_text(errors="replace")) < 200_000


@pytest.fixture
def store(fleet: FleetOf) -> Iterator[Store]:
    """The fleet's S3."""
    yield fleet.store
    fleet.store.close()


@pytest.fixture
def planned(fleet: FleetOf, queue: Queue) -> list[Kwargs]:
    """The messages of a run of 3 jobs, taken off the queue; nobody feeds them again soon."""
    write_catalog(fleet.command.folder, 3)
    fleet.submit()
    return sorted(queue.take_all(), key=lambda kwargs: int(kwargs["index"]))


def forged(kwargs: Kwargs, **changes: Any) -> Kwargs:
    """A planned message whose job has other fields."""
    return {**kwargs, "job": {**kwargs["job"], **changes}}


def test_the_plan_is_the_truth(
    fleet: FleetOf, queue: Queue, planned: list[Kwargs], sandbox: SandboxServer, store: Store
) -> None:
    """A message that asks for anything but the planned job is dropped unpaid; what is planned is done all the same."""
    first, other = planned[0], planned[1]
    params = Params.model_validate(first["job"]["params"])
    elsewhere = fleet.workspace.under("elsewhere/x.jpg")
    stranger = Message.model_validate(forged(first, id="x")).job
    lies: dict[str, Kwargs] = {
        "an output elsewhere": forged(first, output=elsewhere),
        "another prompt": forged(first, params=params.model_copy(update={"prompt": "free pictures"}).model_dump()),
        "another image": forged(first, image=other["job"]["image"]),
        "other metadata": forged(first, meta={"title": "x"}),
        "another id": forged(first, id="x"),
        "an id with its own job id": {
            **forged(first, id="x"), "job_id": fleet.workspace.job_id(stranger.id, stranger.variant),
        },
        "a job id of nothing": {**first, "job_id": "0" * 24},
        "another's job id": {**first, "job_id": other["job_id"]},
        "another place": {**first, "index": 1},
        "a place beyond the shard": {**first, "index": 3},
        "a place before the shard": {**first, "index": -1},
        "a shard beyond the run": {**first, "shard": 1},
        "a run beside this one": {**first, "run_id": f"{first['run_id']}x"},
        "a key beside the run": {**first, "run_id": f"{first['run_id']}:open"},
    }  # fmt: skip
    quiet = fleet.with_settings(RESTYLE_REFEED_AFTER="600")
    with quiet.worker() as worker:
        for what, kwargs in lies.items():
            queue.push(kwargs)
            gone(queue, worker, what)
        assert (sandbox.calls, quiet.status(first["run_id"])["pending"]) == (0, 3)
    with fleet.worker():
        for kwargs in planned:
            queue.push(kwargs)
        done = fleet.finished(first["run_id"], within=60)
    paid = sandbox.counters()["paid"]
    assert (done["succeeded"], done["attempts"], sandbox.charged, len(paid)) == (3, 3, 3, 3)
    assert not any("free pictures" in str(key) for key in paid)
    assert store.head(elsewhere) is None
    assert store.find(fleet.workspace.record("x", "default")) is None


@pytest.mark.long
def test_the_same_message_twice_in_one_worker(
    fleet: FleetOf, queue: Queue, planned: list[Kwargs], sandbox: SandboxServer
) -> None:
    """A job in a worker's hands stays there when its message comes again: nobody else may take and pay it."""
    sandbox.control(latency=3)
    hasty = fleet.with_settings(RESTYLE_REFEED_AFTER="1", RESTYLE_CONCURRENCY="4")
    with hasty.worker() as worker:
        for kwargs in planned:
            queue.push(kwargs)
        wait_until(lambda: sandbox.counters()["in_flight"] == 3, timeout=40, description="the calls")
        for kwargs in planned:
            queue.push(kwargs)
            gone(queue, worker, "a message again")
        done = hasty.finished(planned[0]["run_id"], within=60)
    assert (done["succeeded"], done["attempts"], sandbox.charged, sandbox.paid_twice) == (3, 3, 3, {})
