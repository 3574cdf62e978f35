"""A soak: a fleet works for a given time while its parts are struck in turn; the account, and what grows.

`make soak` runs it for 20 minutes; `make soak SOAK="--minutes 1440 --workers 8"` for as long as there is machine. It
writes its figures and charts into docs/reliability.md, unless `--dry`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from restyle.coordination.runs.progress import Progress
from restyle.errors import StateUnavailable
from tests.acceptance.chaos import as_it_is
from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_nightly import beats
from tests.soak import page
from tests.soak.keys import Rotating
from tests.soak.samples import Sampler
from tests.soak.strikes import Strikes
from tests.soak.work import Work
from tests.support.command import Command
from tests.support.earlier import LAST, installed
from tests.support.gateway import Gateway, running_gateway
from tests.support.sandbox import SandboxServer, running_sandbox
from tests.support.servers import Valkey, running_s3, running_valkey
from tests.support.supervised import supervised
from tests.support.wait import wait_until

#: The last soak, with all of its samples.
KEPT = page.DOCS.parent / "build" / "soak.json"
#: Seconds that the API takes.
LATENCY = 0.05
#: Signs of life as a busy machine lets them come.
CALM = {
    "RESTYLE_HEARTBEAT_SECONDS": "1", "RESTYLE_HEARTBEAT_TTL": "10", "RESTYLE_DEAD_AFTER": "5",
    "RESTYLE_REFEED_AFTER": "20", "RESTYLE_MAX_ATTEMPTS": "20", "RESTYLE_SHARD_JOBS": "200",
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How long and how large a soak is."""

    minutes: float
    jobs: int
    workers: int
    concurrency: int
    earlier: str


def main() -> int:
    """Soaks; 1 where something was paid for twice that had no reason to."""
    size, is_dry = _read_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("soak: ended"))  # and with it what was started
    with tempfile.TemporaryDirectory(prefix="restyle-soak-") as folder:
        with ExitStack() as stack:
            figures, samples = _Soak(Path(folder), size, stack).run()
        # Before a hundred thousand files are removed.
        _say(json.dumps(figures, indent=1))
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps({"figures": figures, "samples": samples}), encoding="utf-8")
        if not is_dry:
            page.write(figures, samples)
    return int(figures["paid"] - figures["jobs"] > figures["excused"] or figures["failed"] > 0)


def _read_arguments() -> tuple[Size, bool]:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=20, help="for how long jobs are given (20)")
    parser.add_argument("--jobs", type=int, default=500_000, help="after how many none are given any more")
    parser.add_argument("--workers", type=int, default=2, help="one of them stays, the others are struck (2)")
    parser.add_argument("--concurrency", type=int, default=8, help="calls in flight of each (8)")
    parser.add_argument("--from", dest="earlier", default=LAST, help="the version that workers are upgraded from")
    parser.add_argument("--dry", action="store_true", help="write nothing into the page")
    given = parser.parse_args()
    return Size(given.minutes, given.jobs, given.workers, given.concurrency, given.earlier), given.dry


class _Soak:
    """One soak."""

    def __init__(self, folder: Path, size: Size, stack: ExitStack) -> None:
        """Starts the servers."""
        self._size, self._stack = size, stack
        programs = installed(size.earlier)
        s3 = stack.enter_context(running_s3(folder / "s3"))
        self._valkey: Valkey = stack.enter_context(running_valkey(folder / "valkey"))
        self._sandbox: SandboxServer = stack.enter_context(running_sandbox(latency=LATENCY, credits=10**6))
        self._gateway: Gateway = stack.enter_context(running_gateway(s3.port, as_it_is))
        self._keys = Rotating(s3, folder, every=120)
        workspace = s3.workspace
        env = {
            "RESTYLE_REDIS_URL": self._valkey.url, "RESTYLE_WORKSPACE": workspace.uri,
            "RESTYLE_API_URL": self._sandbox.url, "RESTYLE_API_KEY": self._sandbox.api_key,
            "RESTYLE_CONCURRENCY": str(size.concurrency), **CALM,
        }  # fmt: skip
        self._fleet = FleetOf(Command(folder, {**env, **s3.env}), s3.store, workspace)
        rough = Command(folder, {**env, "AWS_ENDPOINT_URL_S3": self._gateway.url, **self._keys.env})
        self._commands = [replace(rough, programs=programs), rough]
        self._work = Work(self._fleet)

    def run(self) -> tuple[page.Figures, list[Any]]:
        """Works, strikes, waits for the end, and adds up."""
        began = time.monotonic()
        self._work.prepare()
        with (
            supervised(self._commands[1], self._size.workers) as workers,
            beats(self._fleet, 1),
            self._fleet.state() as state,
            self._sampled(workers[0].process.pid) as sampler,
        ):
            strikes = Strikes(
                self._fleet, workers[1:], self._commands, self._valkey, self._gateway, self._keys
            )  # fmt: skip
            progress = Progress(state)
            while time.monotonic() - began < 60 * self._size.minutes and self._work.rows < self._size.jobs:
                self._give(progress)
                _say(f"{(time.monotonic() - began) / 60:.1f} min, {self._sandbox.charged:,} paid: {strikes.strike()}")
                time.sleep(random.uniform(4, 10))
            samples = sampler.stop()
            self._finish(progress)
        return self._figures(strikes, (time.monotonic() - began) / 60), samples

    @contextmanager
    def _sampled(self, pid: int) -> Iterator[Sampler]:
        with self._fleet.state() as state:
            sampler = Sampler(pid, state, lambda: self._sandbox.charged, lambda: sum(self._gateway.answered.values()))
            sampler.start()
            yield sampler

    def _give(self, progress: Progress) -> None:
        """Jobs, where few are left, and pictures for the next night."""
        try:
            pending = self._work.pending(progress)
        except StateUnavailable:
            return
        self._work.before_a_night()
        if pending < self._work.batch:
            self._work.submit()

    def _finish(self, progress: Progress) -> None:
        """A last night, and the end of all runs."""
        wait_until(lambda: not self._work.pending(progress), timeout=900, description="the end of what is under way")
        self._fleet.command("schedules", "run", "nightly", timeout=300)
        wait_until(lambda: not progress.ledgers(), timeout=900, description="the end of all runs")

    def _figures(self, strikes: Strikes, minutes: float) -> page.Figures:
        runs = self._work.runs()
        uris = (self._fleet.workspace.run(run.run_id, "report.json") for run in runs)
        reports = [json.loads(self._fleet.store.get(uri).data) for uri in uris]
        for run, report in zip(runs, reports, strict=True):
            ended = report["succeeded"] + report["skipped"] + report["failed"]
            assert (ended, report["pending"]) == (run.planned, 0), report
        return page.Figures(
            date=datetime.now(UTC).date().isoformat(), minutes=minutes, workers=self._size.workers,
            concurrency=self._size.concurrency, jobs=self._work.rows + self._work.night_pictures, runs=len(runs),
            nights=sum(bool(run.schedule) for run in runs), paid=self._sandbox.charged, excused=strikes.excused,
            failed=sum(report["failed"] for report in reports),
            in_doubt=sum(report["in_doubt"] for report in reports), strikes=dict(strikes.done),
            versions=["this version", self._size.earlier[:12]], load=os.getloadavg()[2],
        )  # fmt: skip


def _say(line: str) -> None:
    sys.stdout.write(f"soak: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
