"""Room for pictures: what does not fit waits, what is alone never does."""

from __future__ import annotations

import threading

from restyle.room import Room
from tests.support.wait import wait_until


def test_a_large_picture_waits_until_there_is_room() -> None:
    """It goes on as soon as enough of the others have been sent."""
    room, order = Room(100), list[str]()
    with room.hold() as first, room.hold() as second:
        first.take(60)
        second.take(30)

        def large() -> None:
            with room.hold() as hold:
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
    room = Room(100)
    with room.hold() as hold:
        hold.take(5000)
        hold.take(4000)
    done = threading.Event()

    def small() -> None:
        with room.hold() as hold:
            hold.take(100)
            done.set()

    threading.Thread(target=small).start()
    wait_until(done.is_set, timeout=10, description="room for a small one")
