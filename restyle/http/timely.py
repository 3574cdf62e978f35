"""A response class that skips informational answers (1xx) and has one time limit for the whole answer.

A server or a gateway may send any number of 1xx answers first (RFC 9110, 15.2); 100, 102 and 103 occur in practice.
Python's http.client skips 100 alone and takes another for the answer itself. The real one would then be read as the
answer to the connection's next request, and a job would get another job's picture.
"""

from __future__ import annotations

import io
import math
import socket
import time
from http.client import HTTPException, HTTPResponse
from typing import Any, ClassVar, Protocol

#: Answers before the final one, beyond which a server is taken for a broken one.
MOST_INFORMATIONAL = 1000


class _Readable(Protocol):
    """What of a raw stream is used."""

    def readinto(self, buffer: Any, /) -> int | None: ...

    def close(self) -> None: ...


class TimelyResponse(HTTPResponse):
    """The final answer of a server, read until the time is up that its socket has when the reading begins.

    For `response_class` of a connection: set the socket's timeout to what is left for the whole answer.
    """

    #: Seconds for the head alone, which a slow server may begin early and a dead one never sends.
    head_limit: ClassVar[float] = math.inf

    fp: io.BufferedReader  # of the base class, which does not tell its type
    _limited: _Limited | None = None

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if (left := sock.gettimeout()) is not None:
            self._limited = _Limited(self.fp.detach(), sock, time.monotonic() + left)
            self.fp = io.BufferedReader(self._limited)

    def begin(self, *args: Any, **kwargs: Any) -> None:
        """Reads the head of the final answer."""
        if self._limited is None:
            self._begin(*args, **kwargs)
            return
        ends = self._limited.ends
        self._limited.ends = min(ends, time.monotonic() + self.head_limit)
        self._begin(*args, **kwargs)
        self._limited.ends = ends

    def _begin(self, *args: Any, **kwargs: Any) -> None:
        for _ in range(MOST_INFORMATIONAL):
            super().begin(*args, **kwargs)
            if not 100 <= self.status < 200:
                return
            # The base class reads a head where it has none yet.
            self.headers = self.msg = None  # type: ignore[assignment] # as before the first
        raise HTTPException(f"more than {MOST_INFORMATIONAL} informational answers")


class _Limited(io.RawIOBase):
    """A socket's stream with one time limit for all reads: Python's own counts anew with each byte that comes."""

    def __init__(self, stream: _Readable, sock: socket.socket, ends: float) -> None:
        super().__init__()
        self._stream = stream
        self._socket = sock
        self.ends = ends

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        """Reads what has come, within the time that is left.

        Raises:
            TimeoutError: none is.
        """
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole answer is up")
        self._socket.settimeout(left)
        return self._stream.readinto(buffer)

    def close(self) -> None:
        """Lets go of the socket."""
        if not self.closed:
            self._stream.close()
        super().close()
