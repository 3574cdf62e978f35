"""Which jobs of open shards are pending: what may be called, what waits for a web server, what a brake holds back."""

from __future__ import annotations

import json
from collections import Counter

from producers.dispatch.plans import Plans
from producers.dispatch.web_inputs import PlannedJob, WebFeed
from restyle.coordination.runs.brakes import braked_variants
from restyle.coordination.runs.progress import Progress
from restyle.coordination.runs.shards import OpenShard
from restyle.keys import Workspace


class PendingJobs:
    """The pending jobs of open shards, by their plans and by what Redis has of them."""

    def __init__(self, progress: Progress, plans: Plans, web: WebFeed, workspace: Workspace) -> None:
        self._progress = progress
        self._plans = plans
        self._web = web
        self._workspace = workspace
        #: Shards of which all that is pending is of braked variants, each with those, and how many jobs had ended:
        #: where Redis has lost outcomes since, it is looked at anew.
        self._braked: dict[tuple[str, int], tuple[frozenset[str], int]] = {}

    def drop(self, run_id: str, shard: int) -> None:
        """Forgets what was seen of a shard."""
        self._braked.pop((run_id, shard), None)

    def count(self, run_id: str, shard: OpenShard, braked: frozenset[str]) -> int:
        """How many jobs of an open shard are pending, but for those of braked variants."""
        key = (run_id, shard.shard)
        if not braked:
            return shard.size - shard.ended
        if self._braked.get(key) == (braked, shard.ended):
            return 0
        count = len(self._unbraked(run_id, shard.shard, braked))
        if not count:
            self._braked[key] = (braked, shard.ended)
        return count

    def look_anew(self) -> None:
        """Redis has forgotten something: what was seen there before counts no more."""
        self._braked.clear()

    def callable(self, run_id: str, shard: OpenShard) -> int:
        """How many jobs of an open shard may be called, now or once the fleet goes on."""
        return self.count(run_id, shard, braked_variants(self._progress.state, run_id))

    def held(self, run_id: str, shard: int, pending: int, hosts: set[str]) -> int:
        """How many pending jobs of an open shard wait for hosts that are left alone for a while."""
        ended = self._progress.ended(run_id, shard)
        jobs = ((index, "", line) for index, line in enumerate(self._plans.lines(run_id, shard)) if index not in ended)
        return min(pending, self._web.waiting_for(run_id, shard, jobs, hosts))

    def waiting_for(self, run_id: str, hosts: list[str]) -> int:
        """How many pending jobs of a run wait for pictures of these hosts, as far as its shards are open."""
        shards = self._progress.open_shards(run_id) if hosts else ()
        return sum(self.held(run_id, one.shard, one.size - one.ended, {*hosts}) for one in shards)

    def enqueueable(self, run_id: str, shard: int, living: set[str]) -> list[PlannedJob]:
        """The pending jobs of a shard that no living worker holds; a job that ends meanwhile is none of them."""
        jobs = self._unbraked(run_id, shard, braked_variants(self._progress.state, run_id))
        return [job for job in jobs if job[1] not in living]

    def _unbraked(self, run_id: str, shard: int, braked: frozenset[str]) -> list[PlannedJob]:
        """The pending jobs of a shard, but for those of braked variants, in the order of their feeding.

        Those of one picture and one recipe are called for once, and the others wait for that: they come last.
        """
        ended = self._progress.ended(run_id, shard)
        jobs, waves = [], Counter[tuple[object, ...]]()
        for index, line in enumerate(self._plans.lines(run_id, shard)):
            if index not in ended:
                job = json.loads(line)
                if job["variant"] not in braked:
                    recipe = (value for name, value in job["params"].items() if name != "seed")
                    result = (job.get("etag") or job["image"], *recipe)
                    planned = (index, self._workspace.job_id(job["id"], job["variant"]), line)
                    jobs.append((waves[result], planned))
                    waves[result] += 1
        return [planned for _, planned in sorted(jobs)]
