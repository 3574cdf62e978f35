"""Notes in S3 of which notifications were sent, or given up: Redis's word of that is anybody's."""

from __future__ import annotations

import json
from dataclasses import dataclass

import structlog

from restyle.coordination.outbox import Notice
from restyle.errors import RestyleError
from restyle.keys import Workspace
from restyle.s3.errors import S3_ERRORS
from restyle.s3.store import Store

log = structlog.get_logger("restyle.notify")


@dataclass(frozen=True)
class Notes:
    """The notes of a workspace."""

    store: Store
    workspace: Workspace

    def was_sent(self, notice: Notice) -> bool | None:
        """Whether S3 has a note that it was sent, or given up; None: S3 is away."""
        try:
            return self.store.head(self._note(notice.run_id, f"{notice.name}-{notice.channel}")) is not None
        except S3_ERRORS:
            return None

    def write_down(self, notice: Notice, why: str) -> bool:
        """Notes in S3 that an event was sent, or given up, and is not sent again; False where S3 takes no note."""
        note = {"event": notice.name, "channel": notice.channel, "arrived": not why, "reason": why,
                "tries": notice.tries + 1}  # fmt: skip
        uri = self._note(notice.run_id, f"{notice.name}-{notice.channel}")
        try:
            self.store.put(uri, json.dumps(note).encode(), content_type="application/json")
        except RestyleError as error:
            log.warning("a notification's note is not in S3", run=notice.run_id, reason=error.message)
            return False
        return True

    def not_started(self, run_id: str) -> str:
        """Where it stands why a schedule's run could not start: there is no run, and so no folder of it."""
        return self.workspace.under("schedules", run_id, "not_started.json")

    def _note(self, run_id: str, name: str) -> str:
        return self.workspace.run(run_id, "notices", f"{name}.json")
