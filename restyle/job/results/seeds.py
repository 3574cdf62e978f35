"""Which results answer a job: a picture that was made anew with another seed stays, and is not paid for again.

A manifest that names no seed has it derived from the job. `redo`, `--new-seed` and a retry of suspects draw another
one, derived from their run too. The next ordinary plan asks for the first seed again, and means the picture there is.
"""

from __future__ import annotations

from restyle.keys import derived_seed
from restyle.models import Params


def as_planned(params: Params, job_id: str, run_id: str) -> Params:
    """A result's parameters as an ordinary plan asks for them.

    Args:
        params: what the result was made with.
        job_id: the job's.
        run_id: of the run that made it.
    """
    seed = seed_as_planned(params.seed, job_id, run_id)
    return params if seed == params.seed else params.model_copy(update={"seed": seed})


def seed_as_planned(seed: int, job_id: str, run_id: str) -> int:
    """The seed that an ordinary plan asks for where a run made a result with this one."""
    return derived_seed(job_id) if seed == derived_seed(job_id, run_id) else seed
