"""The details of one run: the counts of each variant, the newest pictures, the failures with their reasons.

Open shards are read from Redis, each outcome once. Closed shards are read from S3, newest first and a few at a time,
so that a page of a run of a million jobs costs no more than one of a hundred.
"""

from __future__ import annotations

import gzip
import json
import posixpath
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apps.session import Session
from apps.views.moment import Row
from apps.views.review_index import TITLES
from producers.dispatch.plans import Plans
from producers.runs.kept_report import find_report
from producers.runs.outcomes import ResultLine, read_part
from producers.runs.reasons import Reason, Reasons, read_reasons
from producers.runs.statistics import ErrorStatistics, VariantStatistics
from producers.runs.trials import read_trial
from restyle.coordination.runs.events import Event, ask_events, read_events
from restyle.coordination.runs.trends import RunPoint, ask_run, read
from restyle.errors import InputNotFound
from restyle.models import Job, Outcome, OutcomeKind
from restyle.web.records import in_s3

PICTURES = 24
FAILURES = 30
#: Most seconds of one update that may go into closed shards.
BUDGET = 0.1
_PLANS = 16
#: What reading a shard or a report raises that is damaged, or of another version.
DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zlib.error)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Shown:
    """A job on the page, by its place in the run."""

    shard: int
    index: int
    job: Job
    outcome: Outcome

    @property
    def ended(self) -> datetime:
        """When it ended; of old plans this may be unknown."""
        return self.outcome.ended or _LONG_AGO

    @property
    def title(self) -> str:
        """What its entry calls the product; empty where it has no such column."""
        return next((self.job.meta[name] for name in TITLES if self.job.meta.get(name)), "")[:80]


def _least_wanted(shown: Sequence[Shown]) -> int:
    """The place of the oldest whose entry has a newer one here, so that many products are seen; else of the oldest."""
    counts = Counter(one.job.id for one in shown)
    return next((place for place in range(len(shown) - 1, -1, -1) if counts[shown[place].job.id] > 1), len(shown) - 1)


def titles_of(here: Session, run_id: str) -> dict[str, str]:
    """What people call the variants of a trial; nothing where its columns are gone."""
    trial = read_trial(run_id, store=here.store, workspace=here.workspace)
    return trial.titles if trial else {}


class CloseUp:
    """What is known of one run's jobs; grows with each update."""

    def __init__(self, session: Session, run_id: str) -> None:
        self.session = session
        self.run_id = run_id
        self.variants: dict[str, VariantStatistics] = {}
        self.errors: dict[str, ErrorStatistics] = {}
        self._grouped = Reasons()
        #: Those of the report, once it is read.
        self._reported_reasons: list[Reason] | None = None
        self.pictures: list[Shown] = []
        self.failures: list[Shown] = []
        self.events: list[Event] = []
        self.trend: list[RunPoint] = []
        #: What people call the variants of a trial, by their names, in the order of its columns.
        self.titles: dict[str, str] = {}
        #: Jobs in the statistics above.
        self.counted = 0
        #: The monotonic time of the last update.
        self.taken = float("-inf")
        self._seen: dict[int, set[int]] = {}
        self._ended_counts: dict[int, int] = {}
        self._whole: set[int] = set()
        self._reported = False
        #: From here on numbers of shards are of what was unchanged: of objects in `unchanged/`.
        self._parts_from = sys.maxsize
        self._plans = Plans(session.store, session.workspace, most=_PLANS)
        self._lock = threading.Lock()

    def look(self, row: Row) -> None:
        """Adds the jobs that have ended since the last update."""
        with self._lock:
            if row.run.trial and not self.titles:
                self.titles = titles_of(self.session, self.run_id)
            state = self.session.state
            opened, texts, points = state.ask_all(
                ("ZRANGE", state.key("run", self.run_id, "open"), 0, -1), ask_events(state, self.run_id),
                ask_run(state, self.run_id),
            )  # fmt: skip
            self.events = read_events(texts)
            self.trend = read(RunPoint, points)
            if row.ended and not self._reported:
                self._read_report()
            is_open = {int(shard) for shard in opened}
            self._read_open(sorted(is_open))
            self._read_closed(row, is_open)
            self.taken = time.monotonic()

    @property
    def reasons(self) -> list[Reason]:
        """Why jobs failed, equal failures as one, those of most first; of a run that goes on, as far as it is read."""
        return self._reported_reasons or self._grouped.ranked()

    @property
    def spread(self) -> list[Shown]:
        """The newest picture of each entry, then the second of each, and so on: one product fills no line."""
        before = Counter[str]()
        ranked = []
        for shown in self.pictures:
            ranked.append((before[shown.job.id], shown))
            before[shown.job.id] += 1
        return [shown for _, shown in sorted(ranked, key=lambda pair: pair[0])]

    def example(self, reason: Reason) -> Shown | None:
        """One of the newest failures that is of this reason."""
        return next((one for one in self.failures if f"{one.job.id}/{one.job.variant}" in reason.examples), None)

    # -- open shards -----------------------------------------------------------------------------------------

    def _read_open(self, shards: list[int]) -> None:
        """Reads the new outcomes of the shards in which a job has ended since the last update."""
        state = self.session.state
        keys = {shard: state.key("run", self.run_id, "shard", str(shard)) for shard in shards}
        counts = state.ask_all(*(("HGET", keys[shard], "n") for shard in shards)) if shards else []
        for shard, count in zip(shards, counts, strict=True):
            ended = int(count or 0)
            if ended == self._ended_counts.get(shard, 0):
                continue
            lines, seen = self._plans.lines(self.run_id, shard), self._seen.setdefault(shard, set())
            unseen = [index for index in range(len(lines)) if index not in seen]
            texts = state.ask("HMGET", keys[shard], *(f"o:{index}" for index in unseen)) if unseen else []
            for index, text in zip(unseen, texts, strict=True):
                if text is not None:
                    self._take(shard, index, json.loads(lines[index]), json.loads(text))
            self._ended_counts[shard] = ended

    # -- closed shards ---------------------------------------------------------------------------------------

    def _read_closed(self, row: Row, is_open: set[int]) -> None:
        self._parts_from = row.run.shards
        below = row.run.shards if row.ended or row.totals is None else row.totals.cursor
        until = time.monotonic() + BUDGET
        for shard in range(below - 1, -1, -1):
            if shard in self._whole or shard in is_open:
                continue
            if self._satisfied(row) or time.monotonic() > until:
                return
            if results := self.session.store.find(self.session.workspace.results(self.run_id, shard)):
                self._take_results(shard, results.data)
        for part in range(row.run.unchanged_parts):
            if self._parts_from + part in self._whole:
                continue
            if self._satisfied(row) or time.monotonic() > until:
                return
            if results := self.session.store.find(self.session.workspace.unchanged(self.run_id, part)):
                self._take_results(self._parts_from + part, results.data)

    def _satisfied(self, row: Row) -> bool:
        """Whether more shards would add nothing: the counts are the report's, and the page is full."""
        failed = row.totals.failed if row.totals else 0
        done = row.totals.succeeded + row.totals.skipped if row.totals else 0
        full = len(self.failures) >= min(FAILURES, failed) and len(self.pictures) >= min(PICTURES, done)
        return self._reported and full

    def _take_results(self, shard: int, data: bytes) -> None:
        seen = self._seen.pop(shard, set())
        with suppress(*DAMAGED):  # what of it can be read is shown
            for index, text in enumerate(gzip.decompress(data).splitlines()):
                if index not in seen:
                    line = json.loads(text)
                    if line["outcome"] is not None:
                        self._take(shard, index, line["job"], line["outcome"])
        self._seen.pop(shard, None)
        self._whole.add(shard)

    def _read_report(self) -> None:
        """Takes the counts from the report, where the run has ended and it is written."""
        report = find_report(self.run_id, self.session.store, self.session.workspace)
        try:
            variants = {name: VariantStatistics(**counts) for name, counts in report["variants"].items()}
            errors = {code: ErrorStatistics(**error) for code, error in report["errors"].items()}
        except DAMAGED:  # then the jobs are counted
            return
        self.variants, self.errors = variants, errors
        self._reported_reasons = read_reasons(report.get("reasons"))
        self.counted = sum(one.succeeded + one.skipped + one.failed for one in self.variants.values())
        self._reported = True

    # -- one job ---------------------------------------------------------------------------------------------

    def _take(self, shard: int, index: int, job: dict[str, Any], outcome: dict[str, Any]) -> None:
        """Adds a job. A run has millions of them, so only those that are shown are parsed."""
        self._seen.setdefault(shard, set()).add(index)
        if not self._reported:
            self._count(str(job["variant"]), outcome)
        failed = outcome["outcome"] == OutcomeKind.FAILED.value
        if not failed and not outcome.get("outputs"):
            return
        if failed and not self._reported:
            self._grouped.add(Job.model_validate(job), Outcome.model_validate(outcome))
        shown, room = (self.failures, FAILURES) if failed else (self.pictures, PICTURES)
        ended = datetime.fromisoformat(outcome["ended"]) if outcome.get("ended") else _LONG_AGO
        if len(shown) < room or ended > shown[-1].ended:
            shown.append(Shown(shard, index, Job.model_validate(job), Outcome.model_validate(outcome)))
            shown.sort(key=lambda one: (one.ended, one.shard, one.index), reverse=True)
            if len(shown) > room:
                del shown[_least_wanted(shown)]

    def _count(self, variant: str, outcome: dict[str, Any]) -> None:
        counts = self.variants.setdefault(variant, VariantStatistics())
        kind = OutcomeKind(outcome["outcome"])
        setattr(counts, kind.value, getattr(counts, kind.value) + 1)
        counts.credits += outcome.get("credits", 0.0)
        self.counted += 1
        if kind is OutcomeKind.FAILED:
            error = self.errors.setdefault(
                outcome.get("error", ""), ErrorStatistics(message=outcome.get("message", ""))
            )
            error.count += 1

    def picture(self, shard: int, index: int, which: str) -> tuple[str, str] | None:
        """The URI of a job's picture, before or after, and a text that differs with each version of it.

        None where the run has no such job, or the job no such picture.
        """
        with self._lock:
            for shown in (*self.pictures, *self.failures):
                if (shown.shard, shown.index) == (shard, index):
                    return self._uri(shown.job, shown.outcome, which)
            try:
                if shard >= self._parts_from:
                    result = ResultLine.read(list(self._part(shard))[index])
                    return self._uri(result.job, result.outcome, which)
                line = self._plans.lines(self.run_id, shard)[index]
            except (InputNotFound, IndexError):
                return None
        return self._uri(Job.model_validate_json(line), self._outcome(shard, index), which)

    def _outcome(self, shard: int, index: int) -> Outcome | None:
        state = self.session.state
        text = state.ask("HGET", state.key("run", self.run_id, "shard", str(shard)), f"o:{index}")
        if text is not None:
            return Outcome.read(text)
        results = self.session.store.find(self.session.workspace.results(self.run_id, shard))
        if results is None:
            return None
        outcome = json.loads(gzip.decompress(results.data).splitlines()[index])["outcome"]
        return None if outcome is None else Outcome.model_validate(outcome)

    def _uri(self, job: Job, outcome: Outcome | None, which: str) -> tuple[str, str] | None:
        if which == "before":
            return in_s3(job, self.run_id, self.session.store, self.session.workspace).image, job.etag
        if not outcome or not outcome.outputs:
            return None
        uri, store = outcome.outputs[0], self.session.store
        if store.head(uri) is None:  # somebody has rejected it: it lies aside
            stem, suffix = posixpath.splitext(self.session.workspace.suspect(job.id, job.variant))
            aside = stem + (posixpath.splitext(uri)[1] or suffix)
            uri = aside if store.head(aside) else uri
        return uri, f"{outcome.fingerprint} {outcome.ended}"

    def _part(self, shard: int) -> Iterable[bytes]:
        return read_part(self.session.store, self.session.workspace, self.run_id, shard - self._parts_from)
