"""Slots: never more out than there are, and urgent ones first."""

from __future__ import annotations

import threading
from functools import partial

from restyle.runtime.slots import Slots
from tests.support.wait import wait_until


def is_waiting(slots: Slots, number: int) -> bool:
    """Whether so many wait."""
    return len(slots._waiting) == number


def test_urgent_ones_go_first() -> None:
    """Whoever waits with a higher priority is let in before those that came earlier."""
    slots, order = Slots(1), list[str]()
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with slots.one("normal"):
            inside.set()
            leave.wait(10)

    def pass_through(name: str, priority: str) -> None:
        with slots.one(priority):
            order.append(name)

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    assert inside.wait(10)
    for number, (name, priority) in enumerate([("a", "low"), ("b", "normal"), ("c", "high"), ("d", "high")], 1):
        threads.append(threading.Thread(target=pass_through, args=(name, priority)))
        threads[-1].start()
        wait_until(partial(is_waiting, slots, number), timeout=5, description=f"{name} to wait")
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["c", "d", "b", "a"]


def test_never_more_than_there_are() -> None:
    """Many threads, three slots: never a fourth one inside, and all of them free at the end."""
    slots, lock, inside, most = Slots(3), threading.Lock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with slots.one("normal"):
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most <= 3
    assert slots._free == 3
