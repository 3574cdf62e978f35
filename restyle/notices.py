"""What the fleet shares about notifications: those that are to be sent, each until it has arrived or is given up.

Once per run and event: the mark outlives the notice. Redis's loss can lose one that was not sent yet; the note in S3
keeps one that was sent from being sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from restyle.models import Value
from restyle.state import State

#: Seconds for which it is remembered that an event was told.
REMEMBER = 35 * 86400
#: Seconds after which one who was about to send it is taken for dead.
SENDING = 90.0


class Notice(Value):
    """One event for one channel."""

    key: str
    """`<run>|<event>|<channel>`."""
    channel: str
    """webhook, slack or email."""
    notify: dict[str, Any]
    payload: dict[str, Any]
    tries: int = 0
    due: float = 0.0
    """By Redis's clock."""


class Notices:
    """The shared list of what is to be told."""

    def __init__(self, state: State) -> None:
        self.state = state

    def add(self, run_id: str, event: str, notices: Sequence[Notice]) -> bool:
        """Puts an event on the list, once; False where it was there before."""
        fields = [part for notice in notices for part in (notice.key, notice.model_dump_json())]
        return bool(self.state.run("notice", run_id, event, REMEMBER, *fields))

    def due(self) -> list[Notice]:
        """What is to be sent now, oldest first."""
        found = self.state.ask("HVALS", self.state.key("notices"))
        if not found:
            return []
        now = self.state.clock()
        notices = [Notice.model_validate_json(text) for text in found]
        return sorted((notice for notice in notices if notice.due <= now), key=lambda notice: (notice.due, notice.key))

    def take(self, notice: Notice) -> bool:
        """Takes the right to send a notice."""
        key = self.state.key("telling", notice.key)
        if not self.state.ask("SET", key, "1", "NX", "PX", round(SENDING * 1000)):
            return False
        # Another may have sent it between the listing and this.
        return bool(self.state.ask("HEXISTS", self.state.key("notices"), notice.key))

    def done(self, notice: Notice) -> None:
        """Takes a notice off the list."""
        self.state.ask_all(
            ("HDEL", self.state.key("notices"), notice.key), ("DEL", self.state.key("telling", notice.key))
        )

    def again(self, notice: Notice, wait: float) -> None:
        """Leaves a notice for later."""
        later = notice.model_copy(update={"tries": notice.tries + 1, "due": self.state.clock() + wait})
        self.state.ask_all(
            ("HSET", self.state.key("notices"), notice.key, later.model_dump_json()),
            ("DEL", self.state.key("telling", notice.key)),
        )
