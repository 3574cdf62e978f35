"""The heartbeat of a worker: the thread that tells the fleet, every few seconds, that this worker lives.

What a heartbeat does in Redis: restyle/coordination/lua/heartbeat.lua.
"""

from __future__ import annotations

import os
import socket
import threading

import structlog

from restyle.errors import StateUnavailable
from tasks.resources import Resources

log = structlog.get_logger("restyle.worker")

#: Seconds from a heartbeat that Redis did not take to the next one.
SOON = 1.0


class Heartbeat(threading.Thread):
    """Sends heartbeats until the last call of this worker is stored."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(name="heart", daemon=True)
        self._fleet = resources.tools.fleet
        self._settings = resources.settings
        self._stopping = resources.tools.stopping
        self._traffic = resources.tools.traffic
        self._rotation = resources.tools.rotation
        self._over = threading.Event()

    def beat(self) -> None:
        """Sends one heartbeat."""
        held = self._fleet.hands.snapshot()
        self._fleet.heartbeat(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "concurrency": self._settings.concurrency,
                "taken": len(held),
                "writes": " ".join(self._fleet.hands.reports.copy()),
                "in_flight": sum(1 for holding in held.values() if holding.calling_ms),
                "draining": self._stopping.is_set(),
                "out": self._rotation.out,
                "troubles": self._rotation.troubles,
                "ttl": self._settings.heartbeat_ttl,
                "zone": self._settings.time_zone,
                "api": self._traffic.last_minute().as_dict(),
            }
        )

    def run(self) -> None:
        """Sends a heartbeat at each interval, and sooner again after one that Redis did not take.

        While Redis takes none, this worker begins no call (`Fleet.is_heartbeat_fresh`). No error ends the thread:
        without heartbeats the fleet counts this worker as dead and makes its calls again elsewhere.
        """
        pause = self._settings.heartbeat_seconds
        while not self._over.wait(pause):
            pause = self._settings.heartbeat_seconds
            try:
                self.beat()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next heartbeat may go out
                pause = min(pause, SOON)
                write = log.debug if isinstance(error, StateUnavailable) else log.exception
                write("heartbeat missed", reason=str(error))

    def stop(self) -> None:
        """Ends the heartbeats, and tells the fleet that this worker has left, so that nobody waits for it."""
        self._over.set()
        try:
            self._fleet.leave()
        except StateUnavailable as error:
            log.warning("left without telling Redis", reason=error.message)
