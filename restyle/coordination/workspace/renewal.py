"""The thread that keeps the workspace held: in every worker, and in a command for as long as it needs the workspace."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from restyle.coordination.workspace.holding import Holding
from restyle.errors import RestyleError

#: Seconds between two looks at Redis; S3 is asked far more seldom.
EVERY = 1.0
#: Seconds after which the same trouble is logged again.
AGAIN = 60.0


class Renewal(threading.Thread):
    """Steps until it is stopped; whatever goes wrong costs one step."""

    def __init__(
        self, holding: Holding, *, interest: bool = False, on_error: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(name="renewal", daemon=True)
        self._holding = holding
        self._interest = interest
        self._on_error = on_error
        self._trouble = ("", 0.0)
        self._over = threading.Event()

    def run(self) -> None:
        """Does what is due, each second."""
        while not self._over.is_set():
            try:
                self._holding.step(interest=self._interest)
            except RestyleError as error:
                self._tell(error.message)
            except Exception as error:  # noqa: BLE001 - without this thread no call is begun
                self._tell(f"{type(error).__name__}: {error}")
            self._over.wait(min(EVERY, self._holding.terms.poll) * random.uniform(0.8, 1.2))

    def _tell(self, trouble: str) -> None:
        before, at = self._trouble
        if trouble != before or time.monotonic() - at > AGAIN:
            self._trouble = (trouble, time.monotonic())
            self._on_error(trouble)

    def stop(self, *, within: float = 5.0) -> None:
        """Ends it after the step at hand."""
        self._over.set()
        if self.is_alive():
            self.join(within)


def leave(holding: Holding, *, if_idle: bool, within: float = 5.0) -> None:
    """Says in S3 that this Redis is done; where S3 is silent nobody waits for it, and others find out by themselves."""

    def say() -> None:
        with suppress(RestyleError):
            holding.leave(if_idle=if_idle)

    thread = threading.Thread(target=say, name="leave", daemon=True)
    thread.start()
    thread.join(within)
