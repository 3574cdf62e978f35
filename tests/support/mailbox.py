"""A mail server that speaks as much SMTP as smtplib needs, and notes what it was sent."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Mailbox:
    """What came."""

    port: int = 0
    #: Every line of every client, secrets included.
    lines: list[str] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """Listens on a free port of this machine, without TLS, and takes any password."""
    mailbox = Mailbox()

    class Client(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            in_data = False
            while line := self.rfile.readline(10_000):
                text = line.decode("latin-1").rstrip()
                mailbox.lines.append(text)
                if in_data:
                    in_data = text != "."
                    if not in_data:
                        self.wfile.write(b"250 taken\r\n")
                    continue
                verb = text.partition(" ")[0].upper()
                answers = {
                    "EHLO": b"250-here\r\n250 AUTH PLAIN LOGIN\r\n", "AUTH": b"235 in\r\n", "DATA": b"354 go on\r\n",
                    "QUIT": b"221 bye\r\n",
                }  # fmt: skip
                self.wfile.write(answers.get(verb, b"250 ok\r\n"))
                in_data = verb == "DATA"
                if verb == "QUIT":
                    return

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Client)
    server.daemon_threads = True
    server.block_on_close = False
    mailbox.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield mailbox
    finally:
        server.shutdown()
        server.server_close()
