"""A response class for Python's HTTP client that reads the final answer, within a time limit.

http.client of CPython 3.11 to 3.14 skips 100 Continue before an answer (3.14 less than a hundred), but takes the first
other informational answer (102 Processing, 103 Early Hints) for the answer itself. That has no body and counts as a
success; the real answer stays in the connection, and the next request reads it as its own. Also, its timeout is one for
each read of the socket, so a head that comes byte by byte, or an endless row of 100s, is waited for forever.

`FinalResponse` is a `response_class` for http.client's connections, and so for urllib3's, from which the connections of
botocore and requests descend. Set it on the connection's class, as restyle/s3/client.py does for botocore.
"""

from __future__ import annotations

import io
import socket
import time
from http.client import BadStatusLine, HTTPException, HTTPResponse
from typing import Any

#: Informational answers, other than 100, that may precede an answer.
MOST = 20


class FinalResponse(HTTPResponse):
    """An answer without the informational ones before it, whose head and body must not come too slowly.

    Raises, as it begins or is read:
        TimeoutError: the head, or a part of the body, takes too long.
        HTTPException: there is no end to informational answers, or the server changes to another protocol.
    """

    #: Seconds within which the head must be there, informational answers before it included.
    head_within = 60.0
    #: The least bytes of a body in that many seconds of waiting; a slower one might never end.
    pace_bytes, pace_seconds = 1024, 60.0

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._paced = _Paced(self.fp.detach(), self.pace_bytes, self.pace_seconds)
        self.fp = io.BufferedReader(self._paced)

    def begin(self, **options: Any) -> None:
        """Reads the head of the final answer."""
        self._paced.until = time.monotonic() + self.head_within
        super().begin(**options)
        skipped = 0
        while 100 <= self.status < 200:
            if self.status == 101:
                self.close()
                raise BadStatusLine("101 Switching Protocols, which nobody asked for")
            skipped += 1
            if skipped > MOST:
                self.close()
                raise HTTPException(f"more than {MOST} informational answers before one that is final")
            self.headers = self.msg = None  # type: ignore[assignment] # as before the first begin
            super().begin(**options)
        self._paced.until = None


class _Paced(io.RawIOBase):
    """A socket's bytes: within the deadline while there is one, else at no less than the least pace."""

    def __init__(self, raw: Any, least: int, seconds: float) -> None:
        self._raw = raw
        self._least, self._seconds = least, seconds
        self._came, self._waited = 0, 0.0
        #: When all of a head must be there; None where a body is read.
        self.until: float | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The socket's."""
        return int(self._raw.fileno())

    def readinto(self, buffer: Any, /) -> int | None:
        """Reads once from the socket, for no longer than its own timeout; returns whatever has come."""
        begun = time.monotonic()
        if self.until is not None and begun > self.until:
            raise TimeoutError("the head of the answer did not come in time")
        if self.until is None and self._waited > self._seconds:
            if self._came < self._least:
                raise TimeoutError(f"only {self._came} bytes of the answer came in {self._waited:.0f} s")
            self._came, self._waited = 0, 0.0
        count: int | None = self._raw.readinto(buffer)
        self._came += count or 0
        self._waited += time.monotonic() - begun
        return count

    def close(self) -> None:
        """Closes its end of the socket."""
        if not self.closed:
            self._raw.close()
            super().close()
