"""Takes this worker out of rotation where it alone is in trouble, and brings it back after a check of its own.

Out of rotation a worker reads no messages, hands back what it has in hand and says so in its heartbeat; paid answers
that S3 does not take from here wait in Redis, where another worker finds them.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog
from celery import Celery, bootsteps

from config.celery_app import QUEUES, RUNS
from restyle.coordination.rotation import Part, Trouble, is_to_leave, is_well
from restyle.errors import ApiTimeout, ApiUnavailable, FleetError, Misconfigured, RestyleError, StateUnavailable
from restyle.segmind.v1 import Segmind
from tasks.resources import Resources

log = structlog.get_logger("restyle.rotation")

#: Seconds for a check of the API: whoever answers at all is reached.
CHECK_TIMEOUT = 10.0


class Roster(threading.Thread):
    """Decides as long as something is amiss; asleep while all is well."""

    def __init__(self, resources: Resources, app: Celery) -> None:
        super().__init__(name="rotation", daemon=True)
        self._resources = resources
        self._fleet, self._tools = resources.tools.fleet, resources.tools
        self._rotation = resources.tools.rotation
        self._every = resources.settings.heartbeat_seconds
        self._intake = Intake(app)

    def run(self) -> None:
        """Decides; an error costs one look, never the thread."""
        while not self._tools.stopping.is_set():
            if not self._rotation.concerned.wait(0.5):
                continue
            try:
                self._look()
            except StateUnavailable:
                log.debug("nobody can be asked")  # and this worker's own heartbeat lapses
            except Exception:
                log.exception("a look at the rotation failed")
            self._tools.stopping.wait(self._every)

    def _look(self) -> None:
        """One look at this worker, the others, and what is out of reach."""
        rotation = self._rotation
        trouble = rotation.trouble
        if trouble is None:
            if not rotation.rests:
                self._come_back()
                rotation.concerned.clear()
            return
        peers, now = self._peers(), time.monotonic()
        rotation.is_alone = any(is_well(peer, trouble.part) for peer in peers)
        if is_to_leave(trouble, peers, now=now, patience=rotation.patience):
            self._leave(trouble)
        else:
            self._come_back()
        if trouble.lasts(now, rotation.patience) and not rotation.rests:
            self._check(trouble.part)

    def _peers(self) -> list[dict[str, Any]]:
        return [beat for name, beat in self._fleet.workers().items() if beat is not None and name != self._fleet.worker]

    def _leave(self, trouble: Trouble) -> None:
        if self._rotation.out:
            return
        self._rotation.leave(trouble)
        self._intake.close()
        log.error("out of rotation: hands its jobs back and takes none", reason=self._rotation.out)

    def _come_back(self) -> None:
        if not self._rotation.out:
            return
        self._rotation.come_back()
        self._intake.open()
        log.warning("in rotation again")

    def _check(self, part: Part) -> None:
        """Tries what was out of reach, at no cost; what it finds is noted."""
        try:
            if part in {"api", "refused"}:
                self._reach_api(part)
            else:
                self._tools.store.head(self._resources.workspace.under("runs", "ready"))
        except RestyleError as error:
            self._rotation.failed(error)
            if part in self._rotation.troubles:
                return  # where it is another trouble by now, that one is looked at next
        self._rotation.checked(part)

    def _reach_api(self, part: Part) -> None:
        """Raises where no answer comes at all, or one that refuses this worker where that is the trouble."""
        settings = self._resources.settings
        assert settings.api_key is not None
        api = Segmind(settings.door_url("v1"), settings.api_key.get_secret_value(), timeout=CHECK_TIMEOUT)
        try:
            api.credits()
        except ApiUnavailable as error:
            if error.never_sent:
                raise
        except ApiTimeout:
            raise
        except RestyleError as error:
            if part == "refused" and isinstance(error, FleetError) and not isinstance(error, Misconfigured):
                self._rotation.singled_out(error)
                raise
        finally:
            api.close()


class Intake:
    """Whether this worker reads its queues: handed to Celery's consumer in the thread of its own loop."""

    def __init__(self, app: Celery) -> None:
        """Learns of each consumer as it starts; one that starts after a lost connection reads what it is to read."""
        self._open = True
        self._consumer: Any = None
        intake = self

        class Gate(bootsteps.StartStopStep):
            """A part of Celery's consumer, started after it has begun to read."""

            requires = ("celery.worker.consumer.tasks:Tasks",)

            def start(self, consumer: Any) -> None:
                intake._consumer = consumer
                if not intake._open:
                    intake._turn(consumer)

        app.steps["consumer"].add(Gate)

    def close(self) -> None:
        """Reads no more."""
        self._set(False)

    def open(self) -> None:
        """Reads again."""
        self._set(True)

    def _set(self, is_open: bool) -> None:
        self._open = is_open
        if self._consumer is not None:
            self._consumer.call_soon(self._turn, self._consumer)

    def _turn(self, consumer: Any) -> None:
        for queue in (RUNS, *QUEUES.values()):
            if self._open:
                consumer.add_task_queue(queue)
            else:
                consumer.cancel_task_queue(queue)
