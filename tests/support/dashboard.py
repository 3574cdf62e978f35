"""A dashboard in a thread of this process, for tests to look at and to press buttons of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from apps.dashboard.access.identity import Access
from apps.dashboard.access.security import own_names
from apps.dashboard.live import Live
from apps.dashboard.server import make_server
from config.reading import load_settings


@dataclass(frozen=True)
class Served:
    """A running dashboard."""

    url: str
    live: Live


@contextmanager
def running_dashboard(
    *, token: str | None = None, host: str = "127.0.0.1", access: Access | None = None, url: str | None = None
) -> Iterator[Served]:
    """Serves the workspace of the environment as it is now."""
    ports: list[int] = []
    ready = threading.Event()

    def on_ready(port: int) -> None:
        ports.append(port)
        ready.set()

    live = Live(load_settings())
    live.open()
    access = access or Access("tester@here", token)
    server = make_server(live, access, own_names(host, (), url), host, 0, on_ready)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="dashboard", daemon=True)
    thread.start()
    try:
        assert ready.wait(20), "the dashboard did not start"
        yield Served(f"http://127.0.0.1:{ports[0]}", live)
    finally:
        server.should_exit = True
        thread.join(10)
        live.close()
