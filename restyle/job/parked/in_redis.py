"""Paid answers that S3 would not take: parked in Redis, where another worker or the next start finds them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypedDict

from restyle.coordination.claim_types import Claim, Verdict
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.redis.durability import WITHIN_MS, Proof
from restyle.job.context import Called
from restyle.models import Message
from restyle.runtime.clock import elapsed
from restyle.segmind.responses import Answer

#: Bytes of answers that Redis holds in all; beyond them an answer lies on its worker's disk.
PARKED_BYTES = 256 * 1024 * 1024

#: Named as in earlier versions: what those parked was paid for.
KEY = "kept"


class Facts(TypedDict):
    """All of an answer but its pictures."""

    made_from: str
    """`Fingerprint.token` of what it was paid for."""
    seconds: float
    request_id: str | None
    cost: float | None
    remaining_credits: float | None
    seed: int | None
    sandbox: bool
    called: str
    answered: str
    calls: int
    doubts: int


class Parked(Facts):
    """An answer with its pictures, as Redis holds it."""

    images: list[str]
    """In base64."""


def facts(called: Called, made_from: str) -> Facts:
    """All of an answer but its pictures, and what it was made from (`Fingerprint.token`)."""
    answer = called.answer
    return {
        "made_from": made_from,
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


def answer_of(parked: Facts, images: Sequence[bytes], verdict: Verdict = "parked") -> Called:
    """The answer that `facts` describe, with its pictures."""
    answer = Answer(
        images=tuple(images),
        seconds=parked["seconds"],
        request_id=parked["request_id"],
        cost=parked["cost"],
        remaining_credits=parked["remaining_credits"],
        seed=parked["seed"],
        sandbox=parked["sandbox"],
    )
    claim = Claim(verdict, calls=parked["calls"], doubts=parked["doubts"])
    called, answered = datetime.fromisoformat(parked["called"]), datetime.fromisoformat(parked["answered"])
    return Called(claim, answer, called, answered, elapsed())


def as_text(called: Called, made_from: str) -> str:
    """An answer with its pictures, as Redis holds it."""
    images = [base64.b64encode(image).decode() for image in called.answer.images]
    return json.dumps({"images": images, **facts(called, made_from)})


def park(job_id: str, text: str, state: State) -> bool:
    """Parks an answer: False where there is no room, or Redis has not got it on its disk, where it has one."""
    proof = Proof(("WAITAOF", 1, 0, WITHIN_MS))
    parked, is_durable = state.run_durably(proof, "park", job=job_id, text=text, limit=PARKED_BYTES)
    return bool(parked) and is_durable is not False


def is_parked(job_id: str, size: int, state: State) -> bool:
    """Whether Redis still has an answer of so many bytes: it may have forgotten it since."""
    return int(state.ask("STRLEN", state.key(KEY, job_id))) == size


def find(job_id: str, state: State) -> tuple[str, Called] | None:
    """The parked answer of a job, to whatever request, and what it was made from (`Fingerprint.token`)."""
    text = state.ask("GET", state.key(KEY, job_id))
    if text is None:
        return None
    parked: Parked = json.loads(text)
    return parked["made_from"], answer_of(parked, [base64.b64decode(image) for image in parked["images"]])


def waits(job_id: str, made_from: str, state: State) -> bool:
    """Whether the answer to this very request of a job waits: parked, on a disk, or asked of the API's queue."""
    spooled, request = state.ask_all(
        ("EXISTS", state.key("spooled", job_id)), ("HGET", state.key("request", job_id), "made_from")
    )
    if spooled or request == made_from:
        return True
    parked = find(job_id, state)
    return parked is not None and parked[0] == made_from


def unpark(job_id: str, state: State) -> None:
    """The answer is in S3: it need not be parked any more."""
    state.run("unpark", job=job_id)


# -- answers on the disk of a worker (on_disk.py) ---------------------------------------------------------


def mark_spooled(message: Message, fleet: Fleet) -> None:
    """Says that a paid answer lies on this worker's disk alone: the job is not called again meanwhile."""
    fleet.state.run("spool", worker=fleet.worker, run=message.run_id, shard=message.shard, job=message.job_id)


class Mark(NamedTuple):
    """The word of a worker that an answer lies on its disk alone."""

    job_id: str
    run_id: str
    shard: str
    worker: str


def marks(state: State) -> list[Mark]:
    """Of all answers that lie on a disk alone."""
    jobs = sorted(state.ask("SMEMBERS", state.key("spooled")))
    fields = ("run", "shard", "worker")
    places = state.ask_all(*(("HMGET", state.key("spooled", job), *fields) for job in jobs)) if jobs else []
    return [Mark(job, *map(str, place)) for job, place in zip(jobs, places, strict=True) if all(place)]


def spooled(state: State) -> list[tuple[str, str]]:
    """The run and the worker of each answer that lies on a disk alone."""
    return [(mark.run_id, mark.worker) for mark in marks(state)]


def release(mark: Mark, state: State) -> bool:
    """The answer lies there no more: the job need not wait for it. False where the mark is another one by now."""
    return bool(state.run("unspool", job=mark.job_id, worker=mark.worker))
