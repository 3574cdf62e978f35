"""A job as it was resolved: one entry and one variant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from producers.manifest import Entry
from restyle.keys import sample_uri
from restyle.models import Params

#: Bytes of a job's JSON: a message has 16 kB, and some room is for what goes around it.
MAX_JOB_BYTES = 15_000
#: Below this many characters, a job is small enough in any script.
SMALL_JOB = MAX_JOB_BYTES // 6
#: Parameters that differ from job to job.
_OWN = frozenset({"prompt", "negative_prompt", "seed"})


class Resolved(NamedTuple):
    """A job, but for where its input will lie."""

    entry: Entry
    variant: str
    params: Params
    output: str
    outputs: tuple[str, ...] = ()
    """As in a Job: of each sample, where the naming template says it."""
    job_id: str = ""
    is_derived: bool = False
    """Whether its seed is the one that its id makes."""

    @property
    def places(self) -> Sequence[str]:
        """Where each sample goes."""
        samples = self.params.samples
        if samples == 1:
            return self.outputs or (self.output,)
        return self.outputs or [sample_uri(self.output, sample, samples) for sample in range(samples)]


def too_long(entry: Entry, places: tuple[str, ...], texts: Sequence[str]) -> str:
    """Why a job fits into no message, or empty."""
    meta = entry.meta
    if len(texts[0]) + len(texts[1]) + (sum(map(len, meta)) + sum(map(len, meta.values())) if meta else 0) <= SMALL_JOB:
        return ""
    size = len(json.dumps([entry.id, entry.image, places, texts, entry.meta], ensure_ascii=False).encode()) + 500
    if size <= MAX_JOB_BYTES:
        return ""
    return f"the prompts and columns of this job come to {size:,} bytes; at most {MAX_JOB_BYTES:,} fit into a message"


def shared_by_most(params: Params) -> int:
    """Tells the parameters that most jobs of a plan share from others."""
    return hash(tuple(value for name, value in params.__dict__.items() if name not in _OWN))
