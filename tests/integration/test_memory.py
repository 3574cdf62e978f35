"""What a job holds in memory while it waits, for an answer or for its next attempt; and how long it has its room."""

from __future__ import annotations

import gc
import socket
import threading
import tracemalloc
from collections.abc import Iterator, Sized
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import restyle
from restyle.errors import ApiTimeout
from restyle.models import Params
from restyle.runtime.memory import MemoryBudget, UploadBuffer
from restyle.segmind.v1 import Segmind
from restyle.segmind.v2 import SegmindQueue
from restyle.telemetry import metrics
from tests.support.answering import answering
from tests.support.bench import running_bench
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until

OURS = str(Path(restyle.__file__).parent)


@contextmanager
def traced() -> Iterator[None]:
    """Within, every block of memory is known by who took it."""
    tracemalloc.start(12)
    try:
        yield
    finally:
        tracemalloc.stop()


def holds(picture: Sized) -> bool:
    """Whether code of the pipeline still has a block of memory of the picture's size, as it is or as base64."""
    traces = (trace for trace in tracemalloc.take_snapshot().traces if 0.9 <= trace.size / len(picture) <= 1.5)
    return any(frame.filename.startswith(OURS) for trace in traces for frame in trace.traceback)


def noise() -> bytes:
    """A JPEG large enough to stand out among what else a job takes."""
    file = BytesIO()
    Image.effect_noise((600, 600), 80).convert("RGB").save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.parametrize("door", ["v1", "v2"])
def test_a_call_in_flight_holds_no_picture(door: str, s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Hundreds of calls wait at once for seconds: neither the input nor what was sent is kept for the answer."""
    picture = noise()
    with answering(None) as api:
        url = f"http://127.0.0.1:{api.port}/{door}/sdxl-img2img"
        with running_bench(s3, redis_url, sandbox, api=door, api_url=url) as bench:
            run = bench.begin(bench.plan(f"id,image\nmug,{bench.put('mug', picture)}\n"))
            worker = threading.Thread(target=bench.work, args=(run,))
            try:
                with traced():
                    worker.start()
                    wait_until(lambda: bool(api.heard), timeout=30, description="the whole request")
                    assert len(api.heard[0]) > len(picture) > 200_000
                    wait_until(lambda: not holds(picture), timeout=10, description="memory without a picture")
            finally:
                bench.resources.tools.stopping.set()
                api.close()
                worker.join()


@pytest.mark.parametrize("failure", ["api_unavailable", "unreadable"])
def test_a_job_that_waits_for_its_next_attempt_holds_no_picture(
    failure: str, s3: S3, redis_url: str, sandbox: SandboxServer
) -> None:
    """Neither what could not be sent nor an answer that breaks off stays with the error that says so."""
    picture = noise()
    damaged = picture[:-1000]
    head = f"HTTP/1.1 200 OK\r\ncontent-type: image/jpeg\r\ncontent-length: {len(damaged)}\r\n\r\n"
    counter = metrics.RETRIES.labels(failure)
    before = counter._value.get()
    with answering(head.encode() + damaged) as api:
        port = 1 if failure == "api_unavailable" else api.port
        how = {"api_url": f"http://127.0.0.1:{port}/v1/sdxl-img2img", "backoff_base": 60, "backoff_max": 60}
        with running_bench(s3, redis_url, sandbox, **how) as bench:
            run = bench.begin(bench.plan(f"id,image\nmug,{bench.put('mug', picture)}\n"))
            worker = threading.Thread(target=bench.work, args=(run,))
            try:
                with traced():
                    worker.start()
                    wait_until(lambda: counter._value.get() > before, timeout=30, description="a first attempt")
                    wait_until(lambda: not holds(picture), timeout=10, description="memory without a picture")
            finally:
                bench.resources.tools.stopping.set()
                worker.join()


def test_what_was_not_sent_in_time_is_let_go() -> None:
    """It does not wait in the frames of libraries for a look for garbage."""
    size, room = range(8_000_000), MemoryBudget()
    with socket.create_server(("127.0.0.1", 0)) as server, room.reserve() as hold:
        api = Segmind(f"http://127.0.0.1:{server.getsockname()[1]}/v1/sdxl-img2img", "key", timeout=0.5)
        gc.disable()
        try:
            with traced():
                with pytest.raises(ApiTimeout):
                    api.img2img(UploadBuffer(bytes(len(size)), hold), Params(prompt="p"))
                assert not holds(size)
        finally:
            gc.enable()


@pytest.mark.parametrize("door", ["v1", "v2"])
def test_a_picture_has_its_room_until_it_is_sent(door: str) -> None:
    """Large pictures on a slow line count while they go out, and no longer while the API works on them."""
    order, room, params = list[str](), MemoryBudget(10_000_000), Params(prompt="p")
    server = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{server.getsockname()[1]}/{door}/sdxl-img2img"

    def call() -> None:
        api = Segmind(url, "key") if door == "v1" else SegmindQueue(url, "key")
        with room.reserve() as hold, suppress(ApiTimeout):
            hold.take(8_000_000)
            upload = UploadBuffer(bytes(8_000_000), hold)
            api.img2img(upload, params) if isinstance(api, Segmind) else api.submit(upload, params)
        order.append("answered")

    def other() -> None:
        with room.reserve() as hold:
            hold.take(4_000_000)
            order.append("other")

    calling, waiting = threading.Thread(target=call), threading.Thread(target=other)
    with server:
        calling.start()
        connection, _ = server.accept()
        with connection:
            assert connection.recv(1)  # it is being sent
            waiting.start()
            waiting.join(0.3)
            order.append("read")
            length = 0
            while length < 10_666_668 and (piece := connection.recv(1 << 20)):
                length += len(piece)
            waiting.join(10)
    calling.join(10)
    assert order == ["read", "other", "answered"]
