"""Firings of schedules in S3, from the firing until its run is planned: `schedules/<name>/<run>.json`.

Beats write them before they claim the run's id in Redis. A firing counts only if it is in S3, whatever Redis says.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from pydantic import ValidationError

from producers.scheduling.schedule import Firing
from restyle.coordination.runs.firings import FiringEnd
from restyle.errors import InputNotFound, InvalidImage, RestyleError
from restyle.keys import Workspace
from restyle.problems import printable
from restyle.run_ids import is_run_id, schedule_of
from restyle.s3.store import Store

log = structlog.get_logger("restyle.schedule")

#: Bytes of a firing, and of how one ended.
MAX_BYTES = 64_000


class Unfounded(Exception):
    """There is no such firing in S3 that could be planned."""


class Over(Unfounded):
    """It has ended, or a later one of its schedule has."""

    def __init__(self, end: FiringEnd) -> None:
        super().__init__("its schedule has closed it, or a later one")
        self.end = end


class Newer(Unfounded):
    """It has fields that this version does not know: a newer worker plans it."""


@dataclass(frozen=True)
class Fired:
    """The firings of a workspace, and how the last one of each schedule ended."""

    store: Store
    workspace: Workspace

    def put(self, firing: Firing) -> None:
        """Writes a firing down; one that another beat has written stays."""
        uri = self.workspace.firing(firing.run_id)
        if self.store.head(uri) is None:
            text = firing.model_dump_json(by_alias=True, indent=1)
            self.store.put(uri, text.encode(), content_type="application/json")

    def find(self, run_id: str) -> Firing:
        """The firing of a run.

        Raises:
            Unfounded: there is none that could be planned by this version.
            TransientError: S3 is out of reach.
        """
        if not is_run_id(run_id):
            raise Unfounded("it is no run's id")
        try:
            stored = self.store.get(self.workspace.firing(run_id), max_bytes=MAX_BYTES)
        except InputNotFound:
            # It is removed once its end is written; Redis hears of that last.
            end = self.end_of(schedule_of(run_id))
            if end is not None and end.run_id >= run_id:
                raise Over(end) from None
            raise Unfounded("no beat has written it to S3") from None
        except InvalidImage:
            raise Unfounded(f"it has more than {MAX_BYTES:,} bytes in S3") from None
        firing = _read(stored.data)
        if firing.run_id != run_id:
            raise Unfounded("what lies in S3 is another one")
        if end := self.over(firing):
            raise Over(end)
        return firing

    def over(self, firing: Firing) -> FiringEnd | None:
        """How a firing ended, or a later one of its schedule; None while it may start."""
        end = self.end_of(firing.name)
        return end if end is not None and end.at >= firing.at else None

    def end_of(self, name: str) -> FiringEnd | None:
        """How a schedule's last firing ended; None where that is not known."""
        try:
            stored = self.store.get(self.workspace.schedule(name), max_bytes=MAX_BYTES)
            return FiringEnd.model_validate_json(stored.data)
        except (InputNotFound, InvalidImage, ValidationError):
            return None

    def close(self, end: FiringEnd) -> None:
        """Writes down how a firing ended, and removes it."""
        uri = self.workspace.schedule(end.schedule)
        self.store.put(uri, end.model_dump_json(indent=1).encode(), content_type="application/json")
        self.remove(end.run_id)

    def remove(self, run_id: str) -> None:
        """Removes a firing that is over; where S3 does not, it is looked at again."""
        try:
            self.store.delete(self.workspace.firing(run_id))
        except RestyleError as error:
            log.debug("a firing that is over stays in S3", run=run_id, reason=error.message)


def _read(data: bytes) -> Firing:
    try:
        return Firing.model_validate_json(data)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        reason = printable(f"what lies in S3 is no firing: {problems[0]['loc']}: {problems[0]['msg']}", 300)
        is_newer = all(problem["type"] == "extra_forbidden" or problem["loc"] == ("v",) for problem in problems)
        raise (Newer if is_newer else Unfounded)(reason) from None
