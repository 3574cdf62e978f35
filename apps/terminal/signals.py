"""Signals that stop a command: Ctrl-C, SIGTERM, the closing of its terminal."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from apps.terminal.exits import TERMINATED
from restyle.s3.throttling import end_all

#: The signals to stop that have come to this process.
_received: list[int] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM: stops a command as cleanly as Ctrl-C does."""

    code = TERMINATED
    why = "stopped with SIGTERM"


class HungUp(Terminated):
    """SIGHUP: the terminal was closed; as SIGTERM, but nobody can read the output any more."""

    why = "its terminal was closed"


@contextmanager
def terminable() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP end a command as Ctrl-C does; a SIGHUP that nohup has it ignore stays ignored."""
    terminals = [file for file in (0, 1, 2) if _is_terminal(file)]

    def stop(number: int, _frame: FrameType | None) -> None:
        _received.append(number)
        end_all()
        raise Terminated

    def hang_up(number: int, _frame: FrameType | None) -> None:
        # Shells send SIGHUP again to what they have started, and the end of a session sends SIGTERM too. Neither is a
        # person's second signal, which would cut off the calls in flight.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, stop))
        release(terminals)
        _received.append(number)
        end_all()
        raise HungUp

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, hang_up)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Has Ctrl-C end the waits of other threads too, since a command waits for its threads."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        if before is signal.default_int_handler:  # where contexts are nested, the outer one counts it
            _received.append(number)
        end_all()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def losing_terminal() -> Iterator[None]:
    """Raises HungUp for the error of writing to a closed terminal, which may come before or after the signal."""
    terminals = [file for file in (0, 1, 2) if _is_terminal(file)]
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO or not terminals:
            raise
        release(terminals)
        raise HungUp from None


def is_urgent() -> bool:
    """Whether more than one signal has come: the command waits only for the end of what it started."""
    return len(_received) > 1


def release(terminals: list[int]) -> None:
    """Redirects the files of a closed terminal to nowhere: each write to it would be an error."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for file in terminals:
        os.dup2(nowhere, file)
    os.close(nowhere)


def _is_terminal(file: int) -> bool:
    try:
        return os.isatty(file)
    except OSError:
        return False
