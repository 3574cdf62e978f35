"""Room for pictures: what does not fit waits, what is alone never does."""

from __future__ import annotations

import threading

import pytest

from restyle.runtime.memory import MemoryBudget, UploadBuffer
from tests.support.wait import wait_until


def test_a_large_picture_waits_until_there_is_room() -> None:
    """It goes on as soon as enough of the others have been sent."""
    room, order = MemoryBudget(100), list[str]()
    with room.reserve() as first, room.reserve() as second:
        first.take(60)
        second.take(30)

        def large() -> None:
            with room.reserve() as hold:
                hold.take(70)
                order.append("large")

        thread = threading.Thread(target=large)
        thread.start()
        second.keep(10)
        order.append("still waiting")
        first.keep(0)
        thread.join(10)
    assert order == ["still waiting", "large"]


def test_one_larger_than_the_room_goes_alone() -> None:
    """Nothing waits for room that there never is, and all of it is given back whatever happens."""
    room = MemoryBudget(100)
    with room.reserve() as hold:
        hold.take(5000)
        hold.take(4000)
    done = threading.Event()

    def small() -> None:
        with room.reserve() as hold:
            hold.take(100)
            done.set()

    threading.Thread(target=small).start()
    wait_until(done.is_set, timeout=10, description="room for a small one")


def test_what_grew_while_it_was_held_has_others_wait() -> None:
    """A picture that preparing made larger does not wait for more room, but counts with all of it."""
    room, order = MemoryBudget(100), list[str]()

    def other() -> None:
        with room.reserve() as hold:
            hold.take(50)
            order.append("other")

    waiting = threading.Thread(target=other)
    with room.reserve() as hold:
        hold.take(40)
        hold.keep(80)
        waiting.start()
        waiting.join(0.1)
        order.append("sent")
        hold.keep(0)
        waiting.join(10)
    assert order == ["sent", "other"]


def test_a_picture_is_handed_over_once() -> None:
    """A second call of one attempt would be paid for, and have no picture in it."""
    with MemoryBudget().reserve() as hold:
        upload = UploadBuffer(b"a picture", hold)
        assert upload.hand_over() == b"a picture"
        with pytest.raises(AssertionError, match="handed over once"):
            upload.hand_over()
