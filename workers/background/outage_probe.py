"""Under an outage of the API: which pending job is let through as the next probe."""

from __future__ import annotations

import random
from collections import Counter

from producers.dispatch.feeder import Feeder
from producers.dispatch.web_inputs import PlannedJob
from restyle.coordination.call_ends import recipe
from restyle.coordination.runs.shards import OpenShard
from restyle.coordination.suspensions import Suspension
from restyle.models import Job, RunStatus
from tasks.resources import Resources

#: A run, a shard, a job of it and its recipe.
Candidate = tuple[str, int, PlannedJob, str]


#: Jobs of each run that are looked at for a probe.
SAMPLE = 200


class OutageProbe:
    """Chooses and sends probes, one at a time."""

    def __init__(self, resources: Resources, feeder: Feeder) -> None:
        self._feeder = feeder
        self._fleet = resources.tools.fleet
        self._progress = resources.progress
        #: How often recipes and jobs were probes of this outage; and whether there was nothing to probe with.
        self._probed = Counter[str]()
        self._idle = True

    def forget(self) -> None:
        """No outage stands: the next one begins anew."""
        self._probed.clear()

    def let_through(self, outage: Suspension) -> None:
        """Lets one pending job through: of a recipe that has not failed of late where there is one, each time another.

        Work that comes where there was none is tried at once: an outage may be over for long when nobody calls.
        """
        left = outage.until - self._progress.state.clock()
        if not self._idle and 0 < left <= self._fleet.limits.probe_max:
            return
        candidates = self._candidates()
        if not candidates:
            self._idle = True
            return
        failing = self._fleet.failing()
        run_id, shard, job, made = min(candidates, key=lambda candidate: self._rank(candidate, failing))
        if self._fleet.probe(job[1], at_once=self._idle):
            self._idle = False
            self._probed.update((made, job[1]))
            self._feeder.publish(run_id, shard, [job])

    def _rank(self, candidate: Candidate, failing: set[str]) -> tuple[bool, int, bool, int]:
        """The order of probes: what is known to fail last, and what was tried least first."""
        _, _, (_, job_id, _), made = candidate
        return made in failing, self._probed[made], job_id in failing, self._probed[job_id]

    def _candidates(self) -> list[Candidate]:
        """Pending jobs that may be called but for the outage: a sample of each run, in any order."""
        living, candidates = self._fleet.living_jobs, list[Candidate]()
        for run_id in self._progress.unfinished():
            if self._progress.suspensions(run_id):
                continue
            shards = self._progress.open_shards(run_id)
            if not any(self._feeder.pending.callable(run_id, shard) for shard in shards):
                shards = self._opened(run_id, shards)
            jobs = [
                (shard.shard, job)
                for shard in shards
                for job in self._feeder.pending.enqueueable(run_id, shard.shard, living)
            ]
            jobs = self._callable(run_id, jobs)
            sample = random.sample(jobs, min(len(jobs), SAMPLE))
            candidates += [
                (run_id, shard, job, recipe(run_id, Job.model_validate_json(job[2]))) for shard, job in sample
            ]
        random.shuffle(candidates)
        return candidates

    def _callable(self, run_id: str, jobs: list[tuple[int, PlannedJob]]) -> list[tuple[int, PlannedJob]]:
        """Those that wait for no input on the web; for the others that is ordered, since fetching needs no API."""
        shards = dict[int, list[PlannedJob]]()
        for shard, job in jobs:
            shards.setdefault(shard, []).append(job)
        ready = self._feeder.web.ready_or_ordered
        return [(shard, job) for shard, of_shard in shards.items() for job in ready(run_id, shard, of_shard)]

    def _opened(self, run_id: str, shards: list[OpenShard]) -> list[OpenShard]:
        """One shard more, for a probe: of a run that begins under an outage, or of whose open jobs all are braked."""
        totals = self._progress.totals(run_id)
        behind = sum(shard.size - shard.ended for shard in shards)
        if totals is None or totals.status is not RunStatus.RUNNING or behind >= self._feeder.most_braked:
            return shards
        missing = [*self._progress.gaps(run_id, totals.cursor), *range(totals.cursor, totals.shards)]
        for shard in missing[:1]:
            self._progress.open_shard(run_id, shard, len(self._feeder.plans.lines(run_id, shard)), probing=True)
        return self._progress.open_shards(run_id)
