"""S3 behind gateways that do what HTTP allows: no answer is taken for another request's, or for less than it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restyle.errors import StoreUnavailable
from restyle.s3.store import EMBEDDED_BUCKET, Endpoint, Listed, Store
from tasks.image import restyle_image
from tests.support.bench import running_bench
from tests.support.gateway import INFORMATIONAL, Plan, each_ninth, loses_each_fifth, running_gateway
from tests.support.sandbox import SandboxServer
from tests.support.scripted import Request, answer, scripted
from tests.support.servers import S3

T = TypeVar("T")

THREADS, KEYS = 8, 6


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


def odd(kind: str, good: bytes) -> bytes | None:
    """A good answer as some servers send it; None hangs up."""
    head, _, body = good.partition(b"\r\n\r\n")
    chunks = head.replace(b"content-length: ", b"x-was: ") + b"\r\ntransfer-encoding: chunked\r\n\r\n"
    return {
        "": good,
        "informational": INFORMATIONAL[2] + good,
        "several": b"".join(INFORMATIONAL) + INFORMATIONAL[1] + good,
        "closing": head + b"\r\nconnection: close\r\n\r\n" + body,
        "cut": head + b"\r\nconnection: close\r\n\r\n" + body[: len(body) // 2],
        "in chunks": chunks + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        "too much": good + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\netag: %s\r\n\r\nother" % ETAG,
        "hangs up": None,
    }[kind]


ETAG = b'"d41d8cd98f00b204e9800998ecf8427e-1"'
HARMLESS = ["", "informational", "several", "closing", "in chunks", "too much"]


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[list[str], Store]]:
    """An S3 whose objects are their own names, in as odd answers as are in the list, and a door to it."""
    kinds: list[str] = []

    def make(request: Request) -> bytes | None:
        good = answer("200 OK", request.target.encode() * 50, etag=ETAG.decode())
        try:
            return odd(kinds.pop(), good)
        except IndexError:
            return good

    with scripted(make) as server:
        store = Store(embedded=Endpoint(server.url, "key", "secret"), seconds=2)
        yield kinds, store
        store.close()


@settings(max_examples=15)
@given(st.lists(st.sampled_from(HARMLESS), max_size=60), st.lists(st.sampled_from(["cut", "hangs up"]), max_size=1))
def test_no_reply_names_anothers_key(echo: tuple[list[str], Store], harmless: list[str], harmful: list[str]) -> None:
    """Whatever the server does, and in which order: each object is its own, or an error where it broke off."""
    kinds, store = echo
    kinds[:] = [*harmless, *harmful]

    def ask(number: int) -> None:
        with suppress(*([StoreUnavailable] if harmful else [])):
            assert store.get(f"s3://{EMBEDDED_BUCKET}/{number}").data == f"/{EMBEDDED_BUCKET}/{number}".encode() * 50

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(40)))
    for number in range(20):
        ask(number)


@pytest.mark.parametrize(
    "plan",
    [pytest.param(each_ninth, id="each ninth"), pytest.param(at_random(1), id="at random", marks=pytest.mark.long)],
)
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


def test_a_gateway_that_loses_s3_now_and_then_costs_nothing(
    s3: S3, redis_url: str, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Its 404 is no word on records and inputs: each picture is paid for once and stored, and no job fails for it."""
    with (
        running_gateway(s3.port, lambda _: "") as gateway,
        running_bench(
            s3, redis_url, sandbox, local_s3_endpoint=gateway.url, home=str(tmp_path / "home"), backoff_base=0.01
        ) as bench,
    ):
        uris = [bench.put(f"picture-{number}") for number in range(12)]
        manifest = "id,image\n" + "".join(f"{number},{uri}\n" for number, uri in enumerate(uris))
        for kind in ("succeeded", "skipped"):
            run = bench.begin(bench.plan(manifest))
            messages = list(bench.messages(run))
            gateway.plan = loses_each_fifth
            for message in messages:
                bench.resources.tools.fleet.heartbeat({})
                restyle_image(bench.resources, message)
            gateway.plan = lambda _: ""
            outcomes = [outcome for _, outcome in bench.rows(run)() if outcome]
            assert [(outcome.outcome.value, outcome.error) for outcome in outcomes] == [(kind, "")] * 12
        assert (sandbox.charged, sandbox.paid_twice) == (12, {})
        assert gateway.answered["lost"] > 12
