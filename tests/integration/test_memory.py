"""What a job holds in memory while its call is in flight, in a whole pipeline with a real S3 and Valkey."""

from __future__ import annotations

import socket
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import restyle
from restyle.errors import ApiTimeout
from restyle.models import Params
from restyle.room import Parcel, Room
from restyle.segmind import Segmind
from restyle.segmind_queue import SegmindQueue
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


def holds(picture: bytes) -> bool:
    """Whether code of the pipeline still has a block of memory of the picture's size, as it is or as base64."""
    traces = (trace for trace in tracemalloc.take_snapshot().traces if 0.9 <= trace.size / len(picture) <= 1.5)
    return any(frame.filename.startswith(OURS) for trace in traces for frame in trace.traceback)


@pytest.mark.parametrize("door", ["v1", "v2"])
def test_a_call_in_flight_holds_no_picture(door: str, s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Hundreds of calls wait at once for seconds: neither the input nor what was sent is kept for the answer."""
    file = BytesIO()
    Image.effect_noise((600, 600), 80).convert("RGB").save(file, "JPEG", quality=95)
    picture = file.getvalue()
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


@pytest.mark.parametrize("door", ["v1", "v2"])
def test_a_picture_has_its_room_until_it_is_sent(door: str) -> None:
    """Large pictures on a slow line count while they go out, and no longer while the API works on them."""
    order, room, params = list[str](), Room(10_000_000), Params(prompt="p")
    server = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{server.getsockname()[1]}/{door}/sdxl-img2img"

    def call() -> None:
        api = Segmind(url, "key") if door == "v1" else SegmindQueue(url, "key")
        with room.hold() as hold, suppress(ApiTimeout):
            hold.take(8_000_000)
            parcel = Parcel(bytes(8_000_000), hold)
            api.img2img(parcel, params) if isinstance(api, Segmind) else api.submit(parcel, params)
        order.append("answered")

    def other() -> None:
        with room.hold() as hold:
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
            while length < 10_666_668:
                length += len(connection.recv(1 << 20))
            waiting.join(10)
    calling.join(10)
    assert order == ["read", "other", "answered"]
