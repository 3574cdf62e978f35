"""The thread that sends notifications, so that a slow receiver holds neither a job nor the dispatcher."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from reports.notifications import Notifications
from restyle.errors import RestyleError, StateUnavailable

log = structlog.get_logger("restyle.notify")

#: Seconds that a leaving worker still gives to what is due.
LAST_WORDS = 12.0


class Notifier(threading.Thread):
    """Sends what is due until it is stopped; any number of workers may do so."""

    def __init__(self, notifications: Notifications, every: float, trouble: Callable[[], str]) -> None:
        """Begins with `start`.

        Args:
            notifications: what is sent.
            every: seconds between two looks.
            trouble: why this worker cannot reach S3; empty: it can.
        """
        super().__init__(name="notifier", daemon=True)
        self._notifications = notifications
        self._every = every
        self._trouble = trouble
        self._over = threading.Event()

    def run(self) -> None:
        """Sends; once more at the end, since the embedded stack ends with its run."""
        while not self._over.wait(self._every):
            self._send()
        self._send()

    def stop(self) -> None:
        """Ends after what is due; not after a receiver that is too slow."""
        self._over.set()
        if self.is_alive():  # one that never started cannot be waited for
            self.join(LAST_WORDS)

    def _send(self) -> None:
        try:
            if trouble := self._trouble():
                self._notifications.store_is_away(trouble)
            self._notifications.send_due()
        except StateUnavailable as error:
            log.debug("notifications wait", reason=error.message)  # its spells are logged once (workers/waiting.py)
        except RestyleError as error:
            log.warning("notifications wait", reason=error.message)
        except Exception:
            log.exception("notifications wait")
