"""Lets a planned run exist: only where no unfinished run has one of its jobs, and one run at a time.

A run exists with its run.json, so that is written last, under a right that one has at a time. A run that is refused
was never there: no worker has seen it, and its plan is removed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import uuid4

from producers.runs.listing import read_runs, run_ids, shared_job
from producers.runs.snapshot import write_run
from restyle.coordination.runs.progress import Progress
from restyle.errors import ConfigurationError, RestyleError, StateUnavailable
from restyle.keys import Workspace
from restyle.models import ENDED, Run
from restyle.s3.store import Store

#: Seconds for which the right lasts unless it is renewed, and for which a command waits for it.
LASTS, PATIENCE = 30.0, 120.0


@dataclass(frozen=True)
class Admission:
    """What a planned run has to pass."""

    store: Store
    workspace: Workspace
    progress: Progress

    def admit(self, run: Run) -> None:
        """Writes run.json of a run whose shards are in S3, and makes it known to Redis.

        Raises:
            ConfigurationError: an unfinished run has one of its jobs; nothing of this one is left.
        """
        seen: set[str] = set()
        try:
            # All but the newest runs are compared before the right is taken, which others wait for.
            self._compare(run, seen)
            with self._alone() as still_alone:
                self._compare(run, seen)
                still_alone()
                write_run(run, store=self.store, workspace=self.workspace)
                self._register(run)
        except (ConfigurationError, KeyboardInterrupt):
            self._remove(run)
            raise

    def _register(self, run: Run) -> None:
        """Makes a run known to Redis that exists by now.

        Raises:
            StateUnavailable: Redis is away; the dispatcher takes the run up when it is back.
        """
        try:
            self.progress.register(run)
        except StateUnavailable as error:
            raise StateUnavailable(
                f"{error.message}. Run {run.run_id} is planned and begins when Redis is back; to end it, type: restyle"
                f" cancel {run.run_id}"
            ) from error

    def _compare(self, run: Run, seen: set[str]) -> None:
        """Compares with each unfinished run that was not seen before.

        Raises:
            ConfigurationError: one of them has the same job.
        """
        names = [name for name in run_ids(self.store, self.workspace) if name not in seen and name != run.run_id]
        for other in self._unfinished(names, seen):
            if shared := shared_job(run, other, self.store, self.workspace):
                raise ConfigurationError(
                    f"the unfinished run {other.run_id} has the same job ({shared}); finish it with"
                    f" `restyle resume {other.run_id}` or end it with `restyle cancel {other.run_id}`. Nothing was"
                    " spent"
                )

    def _unfinished(self, names: Iterable[str], seen: set[str]) -> Iterator[Run]:
        for other in read_runs(names, self.store, self.workspace):
            seen.add(other.run_id)
            if other.status not in ENDED:
                yield other

    @contextmanager
    def _alone(self) -> Iterator[Callable[[], None]]:
        """Holds the right to let a run exist; yields what makes sure that it is still held.

        Raises:
            ConfigurationError: somebody else has it for minutes.
        """
        token, deadline = uuid4().hex, time.monotonic() + PATIENCE
        while not self._hold(token, LASTS):
            if time.monotonic() > deadline:
                raise ConfigurationError("other runs are being submitted all the time; nothing was spent: try again")
            time.sleep(0.2)
        over = threading.Event()

        def renew() -> None:
            while not over.wait(LASTS / 4):
                with suppress(RestyleError):  # where Redis stays away, `still_alone` says so
                    self._hold(token, LASTS, renew=True)

        def still_alone() -> None:
            if not self._hold(token, LASTS, renew=True):
                raise ConfigurationError("Redis was away while the run was submitted; nothing was spent: try again")

        renewing = threading.Thread(target=renew, name="admission", daemon=True)
        renewing.start()
        try:
            yield still_alone
        finally:
            over.set()
            renewing.join()
            with suppress(RestyleError):
                self._hold(token, 0)

    def _hold(self, token: str, seconds: float, *, renew: bool = False) -> bool:
        state, ttl = self.progress.state, round(seconds * 1000)
        return bool(state.run("right", name="admission", token=token, ttl=ttl, renew=renew))

    def _remove(self, run: Run) -> None:
        """Removes what was written of a run that does not exist; as well as it can."""
        with suppress(RestyleError):
            if self.store.head(self.workspace.run(run.run_id)) is not None:
                return
            for listed in self.store.list(self.workspace.run(run.run_id, "")):
                self.store.delete(listed.uri)
