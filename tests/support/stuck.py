"""Workers that stop working for real, as a bug of a library would have it: `celery -A tests.support.stuck worker`.

With `STUCK=loop` Celery's loop sleeps for ever in the middle of a turn; with `STUCK=consumption` it goes on turning and
takes no message any more. Both happen a second after the first message is in.
"""

from __future__ import annotations

import os
import time
from typing import Any

from celery import bootsteps, signals
from kombu.asynchronous import Hub

from workers.main import app

__all__ = ["app"]


class Stuck(bootsteps.StartStopStep):
    """The fault."""

    def register_with_event_loop(self, consumer: Any, hub: Hub) -> None:
        """Lets it happen soon."""

        @signals.task_received.connect(weak=False)
        def once(**_told: Any) -> None:
            signals.task_received.disconnect(once)
            if os.environ["STUCK"] == "loop":
                hub.call_later(1.0, time.sleep, 3600)
            else:
                hub.call_later(1.0, consumer.task_consumer.cancel)


app.steps["consumer"].add(Stuck)
