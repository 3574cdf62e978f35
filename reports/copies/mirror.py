"""Copies a run's pictures to a local folder as they arrive: `restyle run --download DIR`.

It looks again and again for jobs that have ended since, in Redis while their shard is open, else in `results/`. What it
misses, since it was cut off or the disk was full, `restyle download` copies afterwards.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from producers.dispatch.plans import Plans
from producers.runs.outcomes import Row, read_results, read_unchanged
from reports.copies.download import Folder, pictures
from restyle.coordination.runs.progress import Progress
from restyle.errors import InputNotFound, RestyleError
from restyle.keys import Workspace
from restyle.models import Job, Outcome, Run
from restyle.s3.store import Store

#: Seconds between two looks, and copies at a time.
EVERY, AT_ONCE = 1.0, 8


class Mirror:
    """The copying of one run, on a thread of its own from `start` to `stop`."""

    def __init__(self, run: Run, directory: Path, *, store: Store, workspace: Workspace, progress: Progress) -> None:
        """Makes the folder; where that fails, `trouble` says why: a run goes on without its copies."""
        #: How many pictures were copied, unchanged, suspect, missing, refused.
        self.counts: Counter[str] = Counter()
        #: Why nothing is copied any more; empty: it is.
        self.trouble = ""
        self._run, self._store, self._workspace, self._progress = run, store, workspace, progress
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._folder = Folder(directory.resolve(), store)
        except OSError as error:
            self.trouble = str(error)
        self._over = threading.Event()
        self._closed: set[int] = set()
        self._seen: dict[int, set[int]] = {}
        self._plans = Plans(store, workspace)
        self._thread = threading.Thread(target=self._keep_looking, name="mirror", daemon=True)

    def start(self) -> None:
        """Begins to copy."""
        self._thread.start()

    def stop(self, *, at_once: bool = False) -> None:
        """Copies what has arrived by now, and ends; at once, it waits for nothing."""
        self._over.set()
        if not at_once:
            self._thread.join()
            self._try()

    def look(self) -> None:
        """Copies what has arrived since the last look.

        Raises:
            RestyleError: Redis or S3 is out of reach; another look goes on from there.
            OSError: the folder cannot be written, or the disk is full.
        """
        totals = self._progress.totals(self._run.run_id)
        is_open = {shard.shard: shard.ended for shard in self._progress.open_shards(self._run.run_id)}
        for part in range(self._run.unchanged_parts):
            self._take_part(part)
        for shard in range(totals.cursor if totals else self._run.shards):
            if shard in self._closed:
                continue
            if shard not in is_open:
                self._take_closed(shard)
            elif is_open[shard] > len(self._seen.setdefault(shard, set())):
                self._take(shard, self._ended(shard))

    def _keep_looking(self) -> None:
        while not self._over.wait(EVERY) and not self.trouble:
            self._try()

    def _try(self) -> None:
        if self.trouble:
            return
        try:
            self.look()
        except RestyleError:
            return  # whoever follows the run says that it waits
        except OSError as error:
            self.trouble = str(error)

    def _take(self, shard: int, rows: Iterable[tuple[int, Row]]) -> None:
        """Copies the pictures of a shard's jobs that have ended; a job counts as seen once its pictures are there."""
        seen = self._seen.setdefault(shard, set())
        new = [(index, job, outcome) for index, (job, outcome) in rows if outcome and index not in seen]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mirror") as pool:
            copies = [(index, pool.submit(self._copy, job, outcome)) for index, job, outcome in new]
        for index, copied in copies:
            self.counts.update(copied.result())
            seen.add(index)

    def _copy(self, job: Job, outcome: Outcome) -> list[str]:
        if not outcome.outputs:
            return []
        return [self._folder.take(picture).state for picture in pictures(self._run, job, outcome, left_out=True)]

    def _ended(self, shard: int) -> Iterator[tuple[int, Row]]:
        """The jobs of an open shard that have ended."""
        lines = self._plans.lines(self._run.run_id, shard)
        for index, outcome in self._progress.outcomes(self._run.run_id, shard).items():
            yield index, (Job.model_validate_json(lines[index]), outcome)

    def _take_closed(self, shard: int) -> None:
        """The rest of a shard that has closed, which is then done with."""
        try:
            rows = list(read_results(self._store, self._workspace, self._run.run_id, shard))
        except InputNotFound:
            return  # it is not closed: Redis has lost it
        self._take_whole(shard, rows)

    def _take_part(self, part: int) -> None:
        """What was unchanged as the run was planned, a part at a time; counted on behind the shards."""
        number = self._run.shards + part
        if number not in self._closed:
            self._take_whole(number, list(read_unchanged(self._store, self._workspace, self._run.run_id, part)))

    def _take_whole(self, shard: int, rows: list[Row]) -> None:
        self._take(shard, enumerate(rows))
        self._closed.add(shard)
        self._plans.drop(self._run.run_id, shard)
        self._seen.pop(shard, None)
