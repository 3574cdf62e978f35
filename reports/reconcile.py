"""`restyle reconcile`: compares what the account was billed for with the paid calls that the workspace has.

A billed request is matched with a record, an entry of the result index or an unreadable answer: by request id, or else
by the same parameters at the same time, since a blocking call of v1 may be answered with another id than the history's.
Nothing is written here; lost_pictures.py fetches what never arrived.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from pydantic import ValidationError

from producers.runs.listing import read_runs, run_ids
from producers.runs.outcomes import Row, RunPruned
from producers.runs.recovery.unread import unread
from restyle.errors import InputNotFound, InvalidImage
from restyle.job.results.index import Result
from restyle.keys import Workspace
from restyle.models import Job, Outcome, OutcomeKind, Run
from restyle.record import Record
from restyle.s3.store import Store
from restyle.segmind.history import Billed, params_digest

#: The most by which the API's time of a request and our time of the same call may differ.
SLACK = timedelta(minutes=5)
#: S3 requests at a time, objects that are requested ahead, and the most bytes of one object.
_AT_ONCE, _AHEAD, _MOST = 16, 500, 1_000_000
#: The kind of an answer that never arrived and was fetched from the account's history.
NOT_RECEIVED = "not received"


class Kind(StrEnum):
    """How the bill and the workspace differ."""

    LOST = "billed_without_picture"
    """Billed, and the job that requested it has no picture."""
    AGAIN = "billed_beside_the_record"
    """Billed, and the job has the picture of another call: an answer was lost, or the picture was made again."""
    ELSEWHERE = "billed_elsewhere"
    """Billed, and no run of this workspace requested it."""
    UNBILLED = "recorded_not_billed"
    """Recorded as a paid call, and missing in the account's history."""


@dataclass(frozen=True)
class Finding:
    """One request or call in which the bill and the workspace differ."""

    kind: Kind
    request_id: str
    credits: float | None
    at: datetime
    run: Run | None = None
    job: Job | None = None
    billed: Billed | None = None
    name: str = ""
    """Entry and variant of a recorded call."""


@dataclass
class Reconciled:
    """How much was compared, and each difference."""

    billed: int = 0
    billed_credits: float = 0.0
    recorded: int = 0
    recorded_credits: float = 0.0
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class _Call:
    """A paid call that the workspace has recorded."""

    request_id: str
    called: datetime
    params: str
    credits: float | None
    name: str


def reconcile(
    billed: Mapping[str, Billed],
    since: datetime,
    *,
    store: Store,
    workspace: Workspace,
    rows: Callable[[Run], Iterable[Row]],
) -> Reconciled:
    """Compares the requests that the account was billed for with the calls that the workspace has recorded.

    Args:
        billed: all requests since `since`, by id.
        since: the earliest time that is compared.
        store: S3.
        workspace: the workspace whose calls are compared.
        rows: streams a run's jobs with their outcomes.
    """
    known = Reconciled(billed=len(billed), billed_credits=sum(one.credits or 0.0 for one in billed.values()))
    rest, unmatched = dict(billed), []
    for call in _calls(store, workspace, since - SLACK):
        is_counted = call.called >= since
        known.recorded += is_counted
        known.recorded_credits += (call.credits or 0.0) * is_counted
        if rest.pop(call.request_id, None) is None:
            unmatched.append(call)
    # Within SLACK of `since`, a request may be missing only because the two clocks differ.
    unbilled = [call for call in _match(unmatched, rest) if call.called >= since + SLACK]
    known.findings += [
        Finding(Kind.UNBILLED, call.request_id, call.credits, call.called, name=call.name) for call in unbilled
    ]
    known.findings += _findings(rest, since, store, workspace, rows)
    known.findings.sort(key=lambda finding: finding.at)
    return known


def _match(calls: list[_Call], rest: dict[str, Billed]) -> list[_Call]:
    """Removes from `rest` the request that fits each call by parameters and time; the calls that no request fits."""
    alike: dict[str, list[Billed]] = defaultdict(list)
    for one in rest.values():
        alike[one.params].append(one)
    unbilled = []
    for call in calls:
        near = [one for one in alike[call.params] if abs(one.submitted - call.called) <= SLACK]
        if near:
            nearest = min(near, key=lambda one: abs(one.submitted - call.called))
            alike[call.params].remove(nearest)
            del rest[nearest.request_id]
        else:
            unbilled.append(call)
    return unbilled


# -- calls that the workspace has recorded -------------------------------------------------------------------


def _calls(store: Store, workspace: Workspace, since: datetime) -> Iterator[_Call]:
    """Each paid call once: from records, from the result index, and from unreadable answers."""
    seen: set[tuple[str, datetime]] = set()
    for record in _records(store, workspace):
        key = record.job_id, record.timestamps.called
        if record.reused_from or record.timestamps.called < since or key in seen:
            continue
        seen.add(key)
        params = params_digest(record.params.as_sent())
        name = f"{record.id} ({record.variant})"
        yield _Call(record.api.request_id or "", record.timestamps.called, params, record.api.cost, name)
    for run in _runs(store, workspace, since):
        for notes in unread(run.run_id, store, workspace).values():
            for note in notes:
                # An answer that could be read later has a record, and was counted above.
                if note.called >= since and (note.job_id, note.called) not in seen:
                    params, name = params_digest(note.params.as_sent()), f"{note.id} ({note.variant})"
                    yield _Call(note.request_id, note.called, params, note.cost, name)


def _records(store: Store, workspace: Workspace) -> Iterator[Record]:
    def read(uri: str) -> Record | None:
        with suppress(InputNotFound, InvalidImage, ValidationError):
            data = store.get(uri, max_bytes=_MOST).data
            return Result.read(data).record if uri.startswith(index) else Record.read(data)
        return None

    index = workspace.under("results") + "/"
    uris = (one.uri for folder in ("records", "results") for one in store.list(workspace.under(folder) + "/"))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while batch := list(islice(uris, _AHEAD)):
            yield from filter(None, pool.map(read, batch))


def _runs(store: Store, workspace: Workspace, since: datetime) -> Iterator[Run]:
    """The runs that were under way at any time since `since`."""
    for run in read_runs(run_ids(store, workspace), store, workspace):
        if run.finished is None or run.finished >= since:
            yield run


# -- which job a request belongs to --------------------------------------------------------------------------


def _findings(
    rest: Mapping[str, Billed], since: datetime, store: Store, workspace: Workspace,
    rows: Callable[[Run], Iterable[Row]],
) -> Iterator[Finding]:  # fmt: skip
    """A finding for each request for which no call is recorded."""
    if not rest:
        return
    sent = {one.params for one in rest.values() if one.params}
    owners: dict[str, list[tuple[Run, Job, Outcome | None]]] = defaultdict(list)
    for run in _runs(store, workspace, since):
        with suppress(RunPruned):
            for job, outcome in rows(run):
                if (params := params_digest(job.params.as_sent())) in sent:
                    owners[params].append((run, job, outcome))
    for one in rest.values():
        owner = [item for item in owners[one.params] if _was_under_way(item[0], one.submitted)]
        yield _finding(one, owner)


def _was_under_way(run: Run, at: datetime) -> bool:
    return run.created - SLACK <= at and (run.finished is None or at <= run.finished + SLACK)


def _finding(one: Billed, owners: list[tuple[Run, Job, Outcome | None]]) -> Finding:
    done = {OutcomeKind.SUCCEEDED, OutcomeKind.SKIPPED}
    if not owners:
        return Finding(Kind.ELSEWHERE, one.request_id, one.credits, one.submitted, billed=one)
    without = [item for item in owners if item[2] is None or item[2].outcome not in done]
    if not without:
        return Finding(Kind.AGAIN, one.request_id, one.credits, one.submitted, *owners[0][:2], billed=one)
    # Where several jobs have the same parameters, nothing tells which of them the picture belongs to.
    run, job, _ = without[0]
    is_one = len({item[1].id for item in owners}) == 1
    return Finding(Kind.LOST, one.request_id, one.credits, one.submitted, run, job if is_one else None, one)
