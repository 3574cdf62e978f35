"""How a call ended that brought no picture, in the terms of restyle/coordination/lua/call_failed.lua: pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from restyle.errors import (
    ApiUnavailable,
    FleetError,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    RestyleError,
    TransientError,
)
from restyle.models import Job

Kind = Literal["failed", "unreachable", "limited", "refused", "rejected", "unsent"]


@dataclass(frozen=True)
class CallEnd:
    """A call's end."""

    kind: Kind
    #: Its answer was lost: it may have been billed.
    in_doubt: bool = False
    #: Seconds until the rate limit resets; None where that is unknown.
    wait: float | None = None
    #: The suspension that a refusal leads to, and which cause of it.
    reason: str = ""
    cause: str = ""
    status: int = 0
    #: It may be paid for, and nobody says how much.
    is_lost: bool = False
    cost: float = 0.0


def call_end(error: RestyleError | None, *, alone: bool = False) -> CallEnd:
    """How a call ended.

    Args:
        error: what it ended with; None: it was never made.
        alone: whether this worker knows of others to which the same does not happen.
    """
    match error:
        case None:
            return CallEnd("unsent")
        case RateLimited():
            return CallEnd("limited", wait=error.wait)
        case FleetError():
            return CallEnd("refused", reason=error.reason, cause=error.cause, status=error.http_status or 0)
        case RequestRejected():
            return CallEnd("rejected", status=error.http_status or 0)
        case ApiUnavailable() if error.never_sent:
            return CallEnd("unsent" if alone else "unreachable")
        case MalformedResponse():
            return CallEnd("failed", is_lost=error.cost is None, cost=max(0.0, error.cost or 0.0))
        case TransientError():
            return CallEnd("failed", in_doubt=error.in_doubt, is_lost=error.in_doubt)
    return CallEnd("rejected")


def recipe(run_id: str, job: Job) -> str:
    """What stands for all that a job asks for, but for picture, prompt and seed: its run, variant and parameters.

    A failure that many pictures share by it is the recipe's. Prompts are left out since a row may have its own: those
    of one variant of a run are of one make.
    """
    params = job.params.model_dump(exclude={"prompt", "negative_prompt", "seed"})
    text = json.dumps([run_id, job.variant, params], sort_keys=True)
    return f"r-{hashlib.sha256(text.encode()).hexdigest()[:20]}"
