"""What a result is, whoever asks for it: one picture and one recipe have one key in a workspace. Pure.

A seed that is derived from the job is as good as any other derived one, so it is no part of the key. A seed that
somebody has chosen is one. docs/decisions/0031 says what follows.
"""

from __future__ import annotations

import hashlib
import json

from restyle.keys import derived_seed
from restyle.models import Params, RunOptions

#: What stands in the key for a seed that nobody has chosen.
_DERIVED = "derived"
#: A new meaning of the key's parts gets another number, so that no result of before is taken for one.
_VERSION = 1


def result_key(
    content: str, params: Params, options: RunOptions, *, job_id: str, run_id: str, variant: str
) -> str:  # fmt: skip
    """The key of a job's result, 64 hex digits; empty where no two calls make the same, as with seed -1.

    Args:
        content: the sha256 of the input's bytes, or whatever tells one picture from another.
        params: of the job.
        options: of its run.
        job_id: the job's.
        run_id: the run's.
        variant: the job's.
    """
    if params.seed == -1:
        return ""
    seed: int | str = params.seed
    if seed in {derived_seed(job_id), derived_seed(job_id, run_id)}:
        # Where each job is to have a picture of its own, the key is the job's: that of its first seed.
        seed = _DERIVED if options.shares(variant) else derived_seed(job_id)
    sent = params.as_sent() | {"seed": seed}
    parts = [_VERSION, content, sent, options.model, options.preparation.model_dump()]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def is_made_anew(params: Params, *, job_id: str, run_id: str) -> bool:
    """Whether a run wants another picture than the one there is: `redo`, `--new-seed`, a retry of suspects."""
    return params.seed == derived_seed(job_id, run_id)
