"""A request that the sandbox's queue has accepted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from apps.sandbox.server import Call

MODEL = "sdxl-img2img"


@dataclass
class Queued:
    """A request that was accepted."""

    request_id: str
    call: Call
    cost: float
    fault: str
    submitted: float = field(default_factory=time.time)
    status: str = "QUEUED"
    error: str = ""
    seed: int = -1
    pictures: tuple[bytes, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def day(self) -> date:
        """The day on which it was submitted, in UTC."""
        return datetime.fromtimestamp(self.submitted, UTC).date()

    def reply(self) -> dict[str, Any]:
        """The JSON of its status."""
        state: dict[str, Any] = {"request_id": self.request_id, "status": self.status}
        if self.status in {"COMPLETED", "FAILED"}:
            state |= {"error": self.error or None, "metrics": self.metrics}
        return state
