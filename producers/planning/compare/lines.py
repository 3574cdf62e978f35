"""What the lines of earlier results say of jobs' records: read quickly where nothing odd is in them.

A line in the form in which restyle writes them, whose parameters are like those of a line before, is parsed once and
looked at by type. Any other is read as a ResultLine, which says what is wrong with it, or what it means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from pydantic_core import from_json

from producers.runs.outcomes import ResultLine, UnchangedLine, rows_as
from restyle.keys import Workspace
from restyle.models import MAX_SEED, Job, Outcome, OutcomeKind, Params, Run
from restyle.s3.store import Store

_JOB = (*Job.model_fields, str, str, str, str, dict, str, list, str, dict)
_PARAMS = tuple(Params.model_fields)
_SHARED = itemgetter(*(name for name in _PARAMS if name not in {"prompt", "negative_prompt", "seed"}))
#: Of what type each part of an outcome is in JSON.
_OUTCOME = {
    "outcome": str, "error": str, "http_status": int, "message": str, "attempts": int, "in_doubt": int,
    "credits": float, "seed": int, "outputs": list, "etag": str, "fingerprint": str, "worker": str, "seconds": float,
    "ended": str, "warning": str, "suspect": list, "reused": bool, "saved": float, "stored": list,
}  # fmt: skip
_KINDS = frozenset(OutcomeKind)
#: A time as it is written, with and without parts of a second.
_TIMES = frozenset({len("2026-01-01T00:00:00Z"), len("2026-01-01T00:00:00.000000Z")})
_TEXT = frozenset({str})
#: Kinds of parameters and outcomes that are remembered.
_MOST = 1000


class End(NamedTuple):
    """How a job ended."""

    kind: str
    """Empty: not yet."""
    at: float
    seed: int | None
    """That its picture was made with; None: not known."""
    outputs: Sequence[str]
    etag: str
    fingerprint: str
    stored: Sequence[str]
    is_plain: bool
    """Whether nothing is to be said of its picture."""


_NOT_YET = End("", math.inf, None, (), "", "", (), is_plain=True)


class Word(NamedTuple):
    """What a line of the results says of a job."""

    id: str
    variant: str
    prompt: str
    negative_prompt: str
    seed: int
    """That it was asked for with."""
    params: Params
    """The other parameters."""
    end: End


class Lines:
    """Reads the lines of earlier results."""

    def __init__(self) -> None:
        """Has seen none."""
        self._params: dict[tuple[object, ...], Params] = {}
        self._shapes: set[tuple[object, ...]] = set()

    def read(self, line: bytes, form: type[ResultLine] = ResultLine) -> Word:
        """What a line of this form says.

        Raises:
            ValidationError: it is none.
        """
        try:
            parts = from_json(line, cache_strings="keys")
            word = self._quickly(parts) if form is ResultLine or type(parts["before"]) is int else None
        except (ValueError, KeyError, TypeError, AttributeError):
            word = None
        if word is None:
            result = form.read(line)
            word = word_of(result.job, result.outcome)
            self._remember(word.params)
        return word

    def _quickly(self, parts: Any) -> Word | None:
        """The same of what was parsed; None where anything is not as usual."""
        job, outcome = parts["job"], parts["outcome"]
        is_usual = (*job, *map(type, job.values())) == _JOB and not (job["web"] or job["outputs"])
        if not is_usual or (job["meta"] and not _are_texts(job["meta"].values())):
            return None
        sent = job["params"]
        params = self._params.get(_shared(sent)) if tuple(sent) == _PARAMS else None
        prompt, negative, seed = sent["prompt"], sent["negative_prompt"], sent["seed"]
        if params is None or not (prompt and type(prompt) is type(negative) is str):
            return None
        if not (type(seed) is int and -1 <= seed <= MAX_SEED):
            return None
        end = _NOT_YET if outcome is None else self._end(outcome)
        return end and Word(job["id"], job["variant"], prompt, negative, seed, params, end)

    def _end(self, outcome: dict[str, Any]) -> End | None:
        shape = (*outcome, *map(type, outcome.values()))
        if shape not in self._shapes:
            if any(type(value) is not _OUTCOME.get(name) for name, value in outcome.items()):
                return None
            if len(self._shapes) < _MOST:
                self._shapes.add(shape)
        get, kind = outcome.get, outcome["outcome"]
        ended, outputs, stored, suspect = get("ended"), get("outputs", ()), get("stored", ()), get("suspect", ())
        if kind not in _KINDS or not _are_texts((*outputs, *stored, *suspect)):
            return None
        if ended is not None and not (len(ended) in _TIMES and ended[-1] == "Z"):
            return None
        return End(
            kind, datetime.fromisoformat(ended).timestamp() if ended else 0.0, get("seed"), outputs, get("etag", ""),
            get("fingerprint", ""), stored, not (suspect or get("warning")),
        )  # fmt: skip

    def _remember(self, params: Params) -> None:
        if len(self._params) < _MOST:
            self._params[_shared(params.__dict__)] = params


def word_of(job: Job, outcome: Outcome | None) -> Word:
    """What a job and its outcome say."""
    params, end = job.params, _NOT_YET
    if outcome is not None:
        end = End(
            outcome.outcome, outcome.ended.timestamp() if outcome.ended else 0.0, outcome.seed, outcome.outputs,
            outcome.etag, outcome.fingerprint, outcome.stored, not (outcome.suspect or outcome.warning),
        )  # fmt: skip
    return Word(job.id, job.variant, params.prompt, params.negative_prompt, params.seed, params, end)


def _are_texts(values: Iterable[object]) -> bool:
    return set(map(type, values)) <= _TEXT


def _shared(params: dict[str, Any]) -> tuple[object, ...]:
    """The parameters that most jobs of a run share, with their types: 1 is another than true."""
    values = _SHARED(params)
    return values, (*map(type, values),)


def words_of(run: Run, *, workspace: Workspace, store: Store) -> Iterator[Word]:
    """What the rows of a run say, as S3 has them; raises what `outcomes` raises."""
    lines = Lines()
    return rows_as(
        run, workspace=workspace, store=store, unchanged=partial(lines.read, form=UnchangedLine), closed=lines.read,
        planned=word_of,
    )  # fmt: skip
