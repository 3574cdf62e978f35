"""Time limits of sockets that cost nothing: the system's own.

Python's is a look at the socket before each read and write, and with it one more handing on of the interpreter.
"""

from __future__ import annotations

import socket
import ssl
import struct


def wait_at_most(connection: socket.socket, seconds: float) -> None:
    """Limits each read and write; one that takes longer raises BlockingIOError, over TLS TimeoutError.

    Python's TLS takes the end of the system's time for an interruption, and reads on for ever: there the limit is
    Python's own.
    """
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(seconds)
        return
    connection.settimeout(None)
    limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
