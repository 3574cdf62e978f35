"""S3 behind gateways that do what HTTP allows: no answer is taken for another request's, or for less than it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from restyle.errors import StoreUnavailable
from restyle.store import EMBEDDED_BUCKET, Listed, Store
from tests.support.gateway import Plan, each_ninth, running_gateway
from tests.support.servers import S3

T = TypeVar("T")

THREADS, KEYS = 10, 8


def until_there(ask: Callable[..., T], *args: Any, **named: Any) -> T:
    """What S3 answers once it answers: an error that may pass costs a worker no more than another attempt."""
    for _ in range(50):
        try:
            return ask(*args, **named)
        except StoreUnavailable:
            continue
    raise AssertionError("S3 is in trouble 50 times in a row")


def content(key: str) -> bytes:
    """What no other key has, and longer than one read of a socket."""
    return f"{key} ".encode() * (1 + len(key) * 997 % 3_000)


def listing(store: Store, uri: str) -> list[Listed]:
    """All that begins with it."""
    return list(store.list(uri))


def round_trip(store: Store, root: str, thread: int) -> None:
    """Writes keys of this thread's own, and reads each of them back in every way that there is."""
    for number in range(KEYS):
        key = f"{root}/{thread}/{number}"
        uri, there = f"s3://{EMBEDDED_BUCKET}/{key}", content(key)
        assert until_there(store.find, uri) is None
        until_there(store.put, uri, there, content_type="x/y", metadata={"key": uri})
        found = until_there(store.get, uri)
        assert found.data == there, f"{key} has {found.data[:60]!r}, {len(found.data)} bytes"
        assert found.metadata["key"] == uri
        head = until_there(store.head, uri)
        assert head is not None
        assert (head.metadata["key"], head.bytes, head.etag) == (uri, len(there), found.etag)
        if number % 4 == 0:
            until_there(store.copy, uri, f"{uri}-copy")
            with until_there(store.open, f"{uri}-copy") as body:
                assert body.read(50) == there[:50]
            until_there(store.delete, f"{uri}-copy")
            listed = until_there(listing, store, uri)
            assert {one.uri for one in listed} >= {uri}
            assert all(one.uri.startswith(uri) for one in listed)


def at_random(seed: int) -> Plan:
    """Half of all answers with some oddity, in another order for each seed."""
    dice = random.Random(seed)
    kinds = ["informational", "split", "close", "throttle", "cut"]
    drawn = [dice.choice(kinds) if dice.random() < 0.4 else "" for _ in range(5000)]
    return lambda number: drawn[number % len(drawn)]


@pytest.mark.parametrize("plan", [each_ninth, at_random(1)], ids=["each ninth", "at random"])
def test_each_answer_is_its_own(s3: S3, plan: Plan) -> None:
    """Many threads over kept connections: each object is found under its key, whole, and none is missing."""
    with running_gateway(s3.port, plan) as gateway:
        store = Store(embedded=replace(s3.endpoint, url=gateway.url), connections=THREADS)
        root = s3.workspace.uri.rpartition("/")[2]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda thread: round_trip(store, root, thread), range(THREADS)))
        round_trip(store, root, THREADS)  # in the main thread, where boto3 alone is asked
        assert {"informational", "split", "close", "throttle"} <= set(gateway.answered)
        store.close()
