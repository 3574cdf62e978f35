"""A sandbox on a free port, for tests to call, to spoil and to count at."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from apps.sandbox.options import SandboxOptions
from apps.sandbox.serve import make_server


@dataclass(frozen=True)
class SandboxServer:
    """A running sandbox."""

    origin: str
    api_key: str

    @property
    def url(self) -> str:
        """Where calls go."""
        return f"{self.origin}/v1/sdxl-img2img"

    def control(self, **changes: Any) -> dict[str, Any]:
        """Changes how it behaves; answers with its counters."""
        request = urllib.request.Request(f"{self.origin}/control", json.dumps(changes).encode(), method="POST")
        with urllib.request.urlopen(request) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def script(self, *answers: str | int, prompt_contains: str = "") -> None:
        """Answers for the next calls, those with this text in the prompt."""
        told = {"prompt_contains": prompt_contains, "answers": [str(answer) for answer in answers]}
        self.control(scripts=[*self.counters()["options"]["scripts"], told])

    def counters(self) -> dict[str, Any]:
        """Calls, charges and what was paid for."""
        with urllib.request.urlopen(f"{self.origin}/control") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    @property
    def charged(self) -> int:
        """Calls that were billed."""
        return int(self.counters()["charged"])

    @property
    def calls(self) -> int:
        """Calls that came, however they were answered."""
        return int(self.counters()["calls"])

    @property
    def paid_twice(self) -> dict[str, int]:
        """What was billed more than once."""
        return {key: count for key, count in self.counters()["paid"].items() if count > 1}


@contextmanager
def running_sandbox(*, wait_for_end: bool = True, **options: Any) -> Iterator[SandboxServer]:
    """Serves a sandbox from a thread of this process; whether its end, which takes 0.2 s, is waited for."""
    given = {"latency": 0.02, "credits": 1000.0, **options}
    ports: list[int] = []
    ready = threading.Event()

    def on_ready(port: int) -> None:
        ports.append(port)
        ready.set()

    server = make_server(SandboxOptions(**given), "127.0.0.1", 0, on_ready)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined] # a thread may install none
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="sandbox", daemon=True)
    thread.start()
    assert ready.wait(10), "the sandbox did not start"
    try:
        yield SandboxServer(f"http://127.0.0.1:{ports[0]}", given.get("api_key") or "SG_0123456789abcdef")
    finally:
        server.should_exit = server.force_exit = True
        if wait_for_end:
            thread.join(10)
