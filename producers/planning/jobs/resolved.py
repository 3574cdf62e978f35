"""A job as it was resolved: one entry and one variant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from producers.manifest import Entry
from restyle.keys import sample_uri
from restyle.models import Params


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
