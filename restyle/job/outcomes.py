"""How a job ended, made of its record; and what a picture cost."""

from __future__ import annotations

from dataclasses import replace

from restyle.coordination.budgets import PRICED_STEPS
from restyle.coordination.runs.progress import Ended
from restyle.job import costs
from restyle.job.context import Called, Tools
from restyle.job.outputs import quality
from restyle.models import Outcome, OutcomeKind, Params
from restyle.record import Record
from restyle.segmind.responses import Answer


def succeeded(record: Record, tools: Tools, called: Called | None = None) -> Ended:
    """The outcome of a job whose record this run wrote; without `called` it was written before, and is only found."""
    return Ended(
        outcome_of(record, tools.price, called.answer.disbelieved if called else ""),
        calls=1 if called else 0,
        wrote_record=True,
        call_succeeded=called is not None,
        lag=called.lag if called else 0.0,
        credits_left=called.answer.remaining_credits if called else None,
        record=None if called else record,
    )


def outcome_of(record: Record, price: float, disbelieved: str = "") -> Outcome:
    """How a job ended that this record is of; its cost by this price, where the API gave none to be believed."""
    return Outcome(
        outcome=OutcomeKind.SUCCEEDED,
        credits=round(credits_of(record, price), 6),
        seed=record.params.seed,
        outputs=tuple(output.uri for output in record.outputs),
        etag=record.fingerprint.etag,
        fingerprint=record.fingerprint.token,
        seconds=record.api.seconds,
        warning=_warning(record, disbelieved),
        suspect=record.marks.suspect,
        stored=record.stored,
    )


def reread(record: Record, tools: Tools) -> Ended:
    """The outcome of a job whose answer was paid for in an earlier run, and could be read now: nothing was spent."""
    ended = succeeded(record, tools)
    return replace(ended, outcome=ended.outcome.model_copy(update={"credits": 0.0}), record=None)


def skipped(record: Record, run_id: str) -> Ended:
    """The outcome of a job that an earlier run did, or whose picture another one has paid for."""
    is_reused = record.reused_from is not None and record.run_id == run_id
    return Ended(
        Outcome(
            outcome=OutcomeKind.SKIPPED,
            reused=is_reused,
            saved=record.reused_from.cost if record.reused_from and is_reused else 0.0,
            seed=record.params.seed,
            outputs=tuple(output.uri for output in record.outputs),
            etag=record.fingerprint.etag,
            fingerprint=record.fingerprint.token,
            warning="; ".join(filter(None, (quality.in_words(record.marks.suspect), beside_text(record)))),
            suspect=record.marks.suspect,
            stored=record.stored,
        )
    )


def priced(samples: int, params: Params, price: float) -> float:
    """Credits by the configured price, where the API does not tell its own."""
    return price * samples * params.num_inference_steps / PRICED_STEPS


def credits_of(record: Record, price: float) -> float:
    """Credits that the call cost which a record is of."""
    cost = record.api.cost
    return priced(record.samples_received, record.params, price) if cost is None else cost


def cost_of(answer: Answer, params: Params, price: float) -> float:
    """Credits that an answer cost."""
    return priced(len(answer.images), params, price) if answer.cost is None else answer.cost


def beside_text(record: Record) -> str:
    """The warning about outputs that made way for what was not theirs to replace."""
    if not record.beside:
        return ""
    first = record.beside[0] + (" and others" if len(record.beside) > 1 else "")
    return f"put beside {first}, where something lies that this job has not made"


def _warning(record: Record, disbelieved: str) -> str:
    """The warnings of a job that succeeded all the same."""
    short = record.samples_received < record.samples_expected
    warnings = [f"{record.samples_received} of {record.samples_expected} samples came"] if short else []
    warnings += [costs.doubt(disbelieved)] if disbelieved else []
    warnings += [quality.in_words(record.marks.suspect)] if record.marks.suspect else []
    warnings += [f"stored without its {fault}" for fault in record.marks.faults]
    warnings += [beside_text(record)] if record.beside else []
    return "; ".join(warnings)
