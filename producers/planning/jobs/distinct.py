"""How many results a plan's jobs come to: those of one picture and one recipe are paid for once.

By what is known without opening a picture: a listing's ETag, the hash of a file that was uploaded before, else the
place. Copies of a picture that nothing tells apart from others yet are found by the workers.
"""

from __future__ import annotations

from producers.planning.jobs.collisions import Seen
from producers.planning.jobs.resolve import Resolved
from restyle.keys import Workspace, derived_seed


class Distinct:
    """Counts results; memory does not grow with their number."""

    def __init__(self, workspace: Workspace, run_id: str, *, reuse: bool, own_pictures: frozenset[str]) -> None:
        """Starts without any.

        Args:
            workspace: that jobs have their ids by.
            run_id: that seeds are drawn anew by.
            reuse: whether jobs share pictures.
            own_pictures: variants whose jobs do not.
        """
        self.count = 0
        self._workspace = workspace
        self._run_id = run_id
        self._reuse = reuse
        self._own_pictures = own_pictures
        self._seen = Seen()

    def add(self, job: Resolved, content: str) -> None:
        """Counts a job.

        Args:
            job: it.
            content: what tells its input from others.
        """
        params, job_id = job.params, self._workspace.job_id(job.entry.id, job.variant)
        is_derived = params.seed == derived_seed(job_id)
        has_its_own = is_derived and not (self._reuse and job.variant not in self._own_pictures)
        if has_its_own or params.seed == -1 or (not is_derived and params.seed == derived_seed(job_id, self._run_id)):
            self.count += 1
            return
        values = tuple(value for name, value in params.__dict__.items() if name != "seed")
        self.count += self._seen.is_new((content, None if is_derived else params.seed, *values))
