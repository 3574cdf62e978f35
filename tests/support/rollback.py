"""A Valkey that loses its last seconds: killed, and started from what its append-only file was a while ago."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import Valkey

#: Seconds between two looks at the file.
_OFTEN = 0.01


class Rollback:
    """Notes how the append-only file grows, so that it can be cut to what it was."""

    def __init__(self, valkey: Valkey) -> None:
        """Begins to note."""
        self.valkey = valkey
        self._sizes: deque[tuple[float, int]] = deque(maxlen=3000)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._note, daemon=True)
        self._thread.start()

    def strike(self, seconds: float, *, down: float = 0.1) -> None:
        """Kill -9, and a start without the last seconds, as after a power cut or a failover to a replica that lags."""
        self.valkey.kill()
        killed = time.monotonic()
        sizes = [size for at, size in self._sizes if at <= killed - seconds]
        assert sizes, "the server has not lived for that long"
        with self._file.open("r+b") as file:
            file.truncate(sizes[-1])
        time.sleep(down)  # a server does not come back at once
        self._sizes.clear()
        self.valkey.start()

    def forget(self) -> None:
        """The server was emptied: what its file was before is nothing to go back to."""
        self._sizes.clear()

    def close(self) -> None:
        """Notes no more."""
        self._over.set()
        self._thread.join()

    @property
    def size(self) -> int:
        """Bytes that the file has."""
        return self._file.stat().st_size

    @property
    def _file(self) -> Path:
        (found,) = (self.valkey.folder / "appendonlydir").glob("*.incr.aof")
        return found

    def _note(self) -> None:
        while not self._over.wait(_OFTEN):
            try:
                self._sizes.append((time.monotonic(), self._file.stat().st_size))
            except (OSError, ValueError):
                continue  # it is being started


@contextmanager
def rolling_back(valkey: Valkey) -> Iterator[Rollback]:
    """A server that can be thrown back."""
    rollback = Rollback(valkey)
    try:
        yield rollback
    finally:
        rollback.close()
