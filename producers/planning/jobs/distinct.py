"""How many results a plan's jobs come to: those of one picture and one recipe are paid for once.

By what is known without opening a picture: a listing's ETag, the hash of a file that was uploaded before, else the
place. Copies of a picture that nothing tells apart from others yet are found by the workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from producers.planning.jobs.batch import Column
from producers.planning.jobs.resolved import Resolved, shared_by_most
from restyle.keys import derived_seed
from restyle.runtime.spilled import SpilledHashes


class Distinct:
    """Counts results; memory does not grow with their number."""

    def __init__(self, run_id: str, *, reuse: bool, own_pictures: frozenset[str]) -> None:
        """Starts without any.

        Args:
            run_id: that seeds are drawn anew by.
            reuse: whether jobs share pictures.
            own_pictures: variants whose jobs do not.
        """
        self._own = 0
        self._run_id = run_id
        self._reuse = reuse
        self._own_pictures = own_pictures
        self._shared = SpilledHashes()

    def add(self, job: Resolved, content: str) -> None:
        """Counts a job.

        Args:
            job: it.
            content: what tells its input from others.
        """
        params = job.params
        if job.is_derived:
            has_its_own = not self._reuse or job.variant in self._own_pictures
        else:
            has_its_own = params.seed in {-1, derived_seed(job.job_id, self._run_id)}
        if has_its_own:
            self._own += 1
            return
        seed = None if job.is_derived else params.seed
        self._shared.add(hash((content, params.prompt, params.negative_prompt, seed, shared_by_most(params))))

    def add_all(self, contents: Sequence[str], column: Column) -> None:
        """Counts the jobs of one variant, each with what tells its input from others."""
        if not self._reuse or column.alike.variant in self._own_pictures:
            self._own += len(contents)
            return
        same = repeat(None), repeat(shared_by_most(column.alike.params))  # of each the seed is derived
        self._shared.add_all(map(hash, zip(contents, column.prompts, column.negatives, *same, strict=False)))

    def count(self) -> int:
        """How many there are."""
        return self._own + self._shared.distinct()
