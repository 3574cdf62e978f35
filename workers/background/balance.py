"""Waits for a top-up: while the account has no credits its balance is checked, ever more seldom, which costs nothing.

Only for runs that want it (`--wait-credits`, schedules), and by one worker of the fleet. What the balance means is
decided in restyle/coordination/lua/topped_up.lua.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import structlog

from restyle.coordination.suspensions import Suspension
from restyle.errors import RestyleError
from restyle.models import Run
from restyle.segmind.v1 import Segmind
from tasks.resources import Resources

log = structlog.get_logger("restyle.balance")

#: Seconds that the answer may take.
WITHIN = 15.0


class Balance:
    """Asks where it is time to, in a thread of its own, since nothing here may wait for the API."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._fleet = resources.tools.fleet
        self._asking: threading.Thread | None = None
        #: Since when it stands that is waited for, and how often the balance was checked since.
        self._since, self._looks = 0.0, 0

    def look(self, runs: Iterable[Run]) -> None:
        """Asks for the balance, where the account alone keeps back one of these runs that waits for it."""
        if self._asking and self._asking.is_alive():
            return
        standing = [suspension for suspension in self._fleet.suspensions() if not suspension.ends_itself]
        if not standing or not all(suspension.is_of_balance for suspension in standing):
            return
        progress = self._resources.progress
        if not any(run.wait_credits and not progress.suspensions(run.run_id) for run in runs):
            return
        if standing[0].since != self._since:
            self._since, self._looks = standing[0].since, 0
        wait = self._wait
        if progress.state.clock() - self._since < min(wait, self._resources.settings.credits_seconds):
            return
        if self._fleet.may_ask_balance(wait, self._resources.settings.credits_max):
            self._looks += 1
            self._asking = threading.Thread(target=self._ask, args=(standing[0],), name="balance", daemon=True)
            self._asking.start()

    @property
    def _wait(self) -> float:
        """Seconds until the balance is checked once more."""
        settings = self._resources.settings
        return min(settings.credits_seconds * 2.0 ** min(self._looks, 16), settings.credits_max)

    def _ask(self, standing: Suspension) -> None:
        settings = self._resources.settings
        assert settings.api_key is not None
        try:
            api = Segmind(
                settings.door_url("v1"), settings.api_key.get_secret_value(), timeout=WITHIN, connections=1,
                direct=bool(settings.local_sandbox),
            )  # fmt: skip
            try:
                balance = float(api.credits())
            finally:
                api.close()
            if self._fleet.topped_up(standing, balance):
                log.warning("the account was topped up: the fleet goes on", credits=round(balance, 2))
            else:
                log.info("no credits yet", credits=round(balance, 2))
        except RestyleError as error:
            log.info("the balance is not known", reason=error.message)
        except Exception:
            log.exception("bug in a look at the balance")
