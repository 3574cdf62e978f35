"""Paid answers that S3 would not take: parked in Redis, where another worker or the next start finds them."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime

from restyle.answers import Answer
from restyle.fleet import Claim
from restyle.state import State
from restyle.work import Called

#: Bytes of answers that Redis holds in all; beyond them an answer waits in its worker's memory alone.
PARKED_BYTES = 256 * 1024 * 1024

#: Named as in earlier versions: what those parked was paid for.
KEY = "kept"


def park(job_id: str, called: Called, made_from: str, state: State) -> bool:
    """Parks an answer and what it was made from (`Fingerprint.token`); False where there is no more room."""
    answer = called.answer
    text = json.dumps(
        {
            "made_from": made_from,
            "images": [base64.b64encode(image).decode() for image in answer.images],
            "seconds": answer.seconds,
            "request_id": answer.request_id,
            "cost": answer.cost,
            "remaining_credits": answer.remaining_credits,
            "seed": answer.seed,
            "sandbox": answer.sandbox,
            "called": called.called.isoformat(),
            "answered": called.answered.isoformat(),
            "calls": called.claim.calls,
            "doubts": called.claim.doubts,
        }
    )
    return bool(state.run("park", job_id, text, PARKED_BYTES))


def find(job_id: str, made_from: str, state: State) -> Called | None:
    """The parked answer of a job; one to another request of it, of a run that was ended since, is let go."""
    text = state.ask("GET", state.key(KEY, job_id))
    if text is None:
        return None
    told = json.loads(text)
    if told["made_from"] != made_from:
        unpark(job_id, state)
        return None
    answer = Answer(
        images=tuple(base64.b64decode(image) for image in told["images"]),
        seconds=told["seconds"],
        request_id=told["request_id"],
        cost=told["cost"],
        remaining_credits=told["remaining_credits"],
        seed=told["seed"],
        sandbox=told["sandbox"],
    )
    claim = Claim("parked", calls=told["calls"], doubts=told["doubts"])
    return Called(
        claim,
        answer,
        datetime.fromisoformat(told["called"]),
        datetime.fromisoformat(told["answered"]),
        time.monotonic(),
    )


def unpark(job_id: str, state: State) -> None:
    """The answer is in S3: it need not be parked any more."""
    state.run("unpark", job_id)
