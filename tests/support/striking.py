"""A program of its own: bad requests to a dashboard, so many a second, until its input ends; then says how many.

In a process of its own, so that what is measured beside it is the dashboard and not this.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).parents[2]
#: Connections at a time, and seconds for each.
THREADS, PATIENCE = 16, 20


def strike(address: tuple[str, int], kind: int, form: str) -> None:
    """One bad request: a wrong token, a foreign host, a path out of the pages, or nonsense."""
    if kind == 3:
        with socket.create_connection(address, PATIENCE) as connection:
            connection.sendall(b"NONSENSE\r\n\r\n")
            while connection.recv(65_536):
                pass
        return
    door = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        if kind == 0:
            door.request("POST", "/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"})
        elif kind == 1:
            door.request("GET", "/fleet", headers={"Host": "evil.example"})
        else:
            door.request("GET", "/runs/../../etc")
        door.getresponse().read()
    finally:
        door.close()


def main(host: str, port: str, form_token: str, rate: str) -> None:
    """Strikes until standard input ends; prints how many were sent."""
    over, counts, kinds = threading.Event(), [0] * THREADS, cycle(range(4))
    form = urlencode({"name": "Eve", "token": "wrong", "form_token": form_token})
    pause = THREADS / float(rate)

    def go_on(number: int) -> None:
        due = time.monotonic() + pause * number / THREADS
        while not over.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause, time.monotonic() - 1)  # what is late is made good for, by a second at most
            with suppress(OSError, http.client.HTTPException):  # what becomes of it is the attacker's trouble
                strike((host, int(port)), next(kinds), form)
            counts[number] += 1

    threads = [threading.Thread(target=go_on, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join(PATIENCE)
    print(sum(counts))  # noqa: T201 - what the test reads


@contextmanager
def striking(host: str, port: int, form_token: str, rate: float) -> Iterator[subprocess.Popen[str]]:
    """Bad requests beside the test; closing its input ends them, and its output is how many were sent."""
    command = [sys.executable, "-m", "tests.support.striking", host, str(port), form_token, str(rate)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None and process.stdin and not process.stdin.closed:
                process.kill()


if __name__ == "__main__":
    main(*sys.argv[1:5])
