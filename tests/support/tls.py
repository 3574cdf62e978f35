"""TLS before a server that speaks plainly, as hosted ones are reached: a proxy that ends it."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CHUNK = 65536


@contextmanager
def tls_before(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """The port on which TLS is spoken, for one of this machine on which it is not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    stops: list[Callable[[], object]] = []
    taken: list[int] = []
    is_up = threading.Event()

    async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pass_on(client, to_server), _pass_on(server, to_client))

    async def run() -> None:
        is_over, loop = asyncio.Event(), asyncio.get_running_loop()
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
            taken.append(listening.sockets[0].getsockname()[1])
            stops.append(lambda: loop.call_soon_threadsafe(is_over.set))
            is_up.set()
            await is_over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert is_up.wait(10)
    try:
        yield taken[0]
    finally:
        stops[0]()
        thread.join(10)


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
    sink.close()
