"""`restyle plan --diff`: what changed since the earlier runs, and what it costs; no call, and hardly a record read.

The results of earlier runs say what each record holds. Joined with a listing of the inputs they sort most jobs; the
records of those that failed, are being done or are unknown are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, islice, product, tee
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from config.settings import Settings
from producers.planning.compare.changes import (
    PAID,
    Change,
    PlannedJob,
    Question,
    change_by_input,
    change_of,
    planned_jobs,
)
from producers.planning.compare.lines import words_of
from producers.planning.compare.lookup import AT_ONCE, etags
from producers.planning.compare.ordered import Ordered
from producers.planning.compare.previous_runs import Known, Memory, readings
from producers.planning.compare.unchanged import RUNS, Unchanged, with_known
from producers.planning.estimate import estimated
from producers.planning.plan import Plan
from producers.planning.uploads import Hashes
from producers.runs.listing import read_runs, run_ids
from restyle.job import recorded
from restyle.job.results.seeds import as_planned
from restyle.keys import Workspace
from restyle.request_digest import request_digest
from restyle.runtime.scratch import scratch
from restyle.s3.store import Store
from restyle.web.address import read_address
from restyle.web.records import find_known

T = TypeVar("T")
#: Looks at inputs, in their order: the ETag or the sha256 of each, None where it is not there.
_LookedAt = Callable[[Iterator[str]], Iterator[tuple[str, str | None]]]

#: Jobs named of each kind.
_EXAMPLES = 5
#: From so many unknown jobs on, records/ is listed first: most of them have none.
_WORTH_LISTING = 200
_BATCH = 2000


@dataclass
class Group:
    """The jobs of one kind."""

    jobs: int = 0
    samples: int = 0
    steps: int = 0
    credits: float = 0.0
    """What they will cost; nothing where no call is made."""
    examples: list[str] = field(default_factory=list)
    """`<id>/<variant>` of the first few."""


@dataclass(frozen=True)
class Diff:
    """A plan, sorted."""

    groups: Mapping[Change, Group]
    since: str | None
    """The run by which is seen what was removed; None where there is none, or only a part of a manifest is planned."""
    exact: bool
    """Whether nothing is left to guess: no results that the comparison needs were pruned."""
    records_read: int
    """How many records had to be read."""

    def as_json(self) -> dict[str, object]:
        """As `plan --json` prints it, and a scheduled run keeps it."""
        groups = {
            change.value: {"jobs": group.jobs, "credits": group.credits, "examples": group.examples}
            for change, group in self.groups.items()
        }
        if self.since is None:
            groups[Change.REMOVED.value] = {"jobs": None, "credits": 0.0, "examples": []}
        return {"since": self.since, "exact": self.exact, **groups}


# -- effects -----------------------------------------------------------------------------------------------


def compare(
    plan: Plan, *, store: Store, workspace: Workspace, settings: Settings, unchanged: Unchanged | None = None
) -> Diff:
    """Sorts the jobs of a plan. Makes no call, uploads and writes nothing.

    Args:
        plan: the plan; its jobs are streamed once.
        store: S3.
        workspace: where the earlier runs and the records lie.
        settings: for prices.
        unchanged: takes in the jobs that S3 shows to be done.
    """
    previous = readings(read_runs(run_ids(store, workspace)[:RUNS], store, workspace), plan)
    exact = True
    outputs = plan.options.outputs if unchanged is not None else None
    with closing(Memory(workspace, outputs)) as memory, closing(_Sorter(plan, store, workspace)) as sorter:
        for run in previous.runs:
            rows = partial(words_of, run, workspace=workspace, store=store)
            exact &= memory.read(run, rows, is_base=run is previous.base)
        for place, (planned, known) in enumerate(with_known(planned_jobs(plan, workspace), memory)):
            sorter.sort(planned, known)
            if unchanged is not None:
                unchanged.offer(place, planned, known)
        if unchanged is not None:
            unchanged.confirm()
        sorter.ask_records()
        sorter.ask_inputs()
        is_compared = previous.base is not None and not plan.options.partial
        if is_compared:
            left_out = product(plan.left_out(), plan.variants)
            memory.seen(workspace.job_id(entry_id, variant) for entry_id, variant in left_out)
            removed = sorter.groups[Change.REMOVED]
            removed.jobs, removed.examples = memory.unseen(_EXAMPLES)
        for change, group in sorter.groups.items():
            if change in PAID or (plan.options.overwrite and change is Change.UNCHANGED):
                group.credits = estimated(group.jobs, group.samples, group.steps, settings).credits
        since = previous.base.run_id if previous.base and is_compared else None
        return Diff(sorter.groups, since, exact, sorter.records_read)


def with_diff(plan: Plan, diff: Diff, settings: Settings) -> Plan:
    """The plan with the estimate of what is really to be paid for."""
    paid = PAID | {Change.UNCHANGED} if plan.options.overwrite else PAID
    groups = [diff.groups[change] for change in paid]
    estimate = estimated(
        sum(group.jobs for group in groups), sum(group.samples for group in groups),
        sum(group.steps for group in groups), settings,
    )  # fmt: skip
    return replace(plan, estimate=replace(estimate, at_most=not diff.exact))


def put_diff(diff: Diff, run_id: str, store: Store, workspace: Workspace) -> None:
    """Keeps what a run found changed beside it."""
    body = json.dumps(diff.as_json(), indent=1, ensure_ascii=False).encode()
    store.put(workspace.run(run_id, "diff.json"), body, content_type="application/json")


class _Sorter:
    """Sorts jobs; those that something must be looked at for wait in a file, so that memory does not grow."""

    def __init__(self, plan: Plan, store: Store, workspace: Workspace) -> None:
        self.groups = {change: Group() for change in Change}
        self.records_read = 0
        self._store = store
        self._workspace = workspace
        self._request = partial(request_digest, model=plan.options.model, preparation=plan.options.preparation)
        self._hashes = Hashes(plan.home, workspace, create=False)
        self._file = scratch(self, autocommit=True)
        job = ("id", "variant", "image", "etag", "request", "samples", "steps")
        self._records = Ordered(self._file, "record", "uri", *job)
        known = ("image", "id", "variant", "samples", "steps", "request", "etag", "token")
        self._inputs = {kind: Ordered(self._file, kind, *known) for kind in ("listed", "fetched", "local")}

    def sort(self, planned: PlannedJob, known: Known | None) -> None:
        """Counts a job, or lets it wait."""
        match change_of(planned, known):
            case Question.RECORD:
                record = self._workspace.record(planned.id, planned.variant)
                self._records.add(record, *planned[:7])
            case Question.INPUT if known:
                kind = "local" if planned.is_local else "listed" if planned.image.startswith("s3://") else "fetched"
                counted = planned.id, planned.variant, planned.samples, planned.steps
                if kind == "listed":  # what S3 has is compared by ETags alone
                    self._inputs[kind].add(planned.image, *counted, "", known.etag, "")
                else:
                    self._inputs[kind].add(planned.image, *counted, known.request, "", known.token)
            case Change() as change:
                self._count_job(change, planned)

    def ask_records(self) -> None:
        """Reads the records of the jobs that wait for theirs."""
        rows: Iterable[tuple[str, PlannedJob]] = ((row[0], PlannedJob(*row[1:])) for row in self._records)
        if len(self._records) >= _WORTH_LISTING:
            rows = self._recorded(rows)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for batch in _batches(rows):
                known = pool.map(self._read_record, (uri for uri, _ in batch))
                for (_, planned), record in zip(batch, known, strict=True):
                    if record is None:
                        self._count_job(Change.NEW, planned)
                    else:
                        self.records_read += 1
                        self.sort(planned, record)

    def ask_inputs(self) -> None:
        """Looks at the inputs of the jobs that wait for theirs: S3's by listing, local ones by content."""
        for kind, looked_at in (("listed", self._etags), ("local", self._hashed), ("fetched", self._fetched)):
            self._sort_by(self._inputs[kind], looked_at)

    def close(self) -> None:
        """Lets go of the files."""
        self._file.close()
        self._hashes.close()

    def _recorded(self, rows: Iterable[tuple[str, PlannedJob]]) -> Iterator[tuple[str, PlannedJob]]:
        """Those of the jobs that a listing of records/ shows to have one."""
        for batch in _batches(rows):
            there = etags((uri for uri, _ in batch), self._store, confirm=False)
            for (uri, planned), (_, etag) in zip(batch, there, strict=True):
                if etag is None:
                    self._count_job(Change.NEW, planned)
                else:
                    yield uri, planned

    def _read_record(self, uri: str) -> Known | None:
        """What a record holds; one that cannot be read counts as none, as it does for a worker."""
        record = recorded.find_at(uri, self._store)
        if record is None:
            return None
        fingerprint, planned = record.fingerprint, as_planned(record.params, record.job_id, record.run_id)
        anew = planned != record.params and self._request(record.params) == fingerprint.request
        return Known(
            fingerprint.request,
            fingerprint.etag,
            fingerprint.token,
            self._request(planned) if anew else fingerprint.request,
        )

    def _sort_by(self, waiting: Ordered, looked_at: _LookedAt) -> None:
        """Sorts the jobs that wait for their inputs, each of which is looked at once."""
        ahead, behind = tee(waiting)
        inputs = looked_at(image for image, _ in groupby(row[0] for row in ahead))
        for (_, seen), (_, jobs) in zip(inputs, groupby(behind, itemgetter(0)), strict=True):
            for image, *counted, request, etag, token in jobs:
                self._count(change_by_input(image, Known(request, etag, token, ""), seen), *counted)

    def _etags(self, uris: Iterable[str]) -> Iterator[tuple[str, str | None]]:
        return etags(uris, self._store)

    def _fetched(self, images: Iterable[str]) -> Iterator[tuple[str, str | None]]:
        def look(image: str) -> str:
            try:
                address = read_address(image, http=True)
            except ValueError:  # what may be a secret is masked, in a retry
                return ""
            known = find_known(address.name, self._store, self._workspace)
            return known.sha256 if known else ""

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for batch in _batches(images):
                yield from zip(batch, pool.map(look, batch), strict=True)

    def _hashed(self, paths: Iterable[str]) -> Iterator[tuple[str, str | None]]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for batch in _batches(paths):
                yield from zip(batch, pool.map(self._sha256, batch), strict=True)

    def _sha256(self, path: str) -> str | None:
        try:
            if known := self._hashes.known(path):
                return known
            with Path(path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None

    def _count_job(self, change: Change, planned: PlannedJob) -> None:
        self._count(change, planned.id, planned.variant, planned.samples, planned.steps)

    def _count(self, change: Change, entry_id: str, variant: str, samples: int, steps: int) -> None:
        group = self.groups[change]
        group.jobs += 1
        group.samples += samples
        group.steps += steps
        if len(group.examples) < _EXAMPLES:
            group.examples.append(f"{entry_id}/{variant}")


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    """The items, so many at a time as fit into memory whatever their number."""
    items = iter(items)
    while batch := list(islice(items, _BATCH)):
        yield batch
