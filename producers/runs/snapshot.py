"""The progress of a run as a stream of snapshots; the one source of `status`, `watch`, the report and `--json`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from pydantic import Field, ValidationError

from producers.runs.kept_report import find_report
from producers.runs.outcomes import Rows, outcomes
from producers.runs.statistics import Statistics
from restyle.coordination.advice import next_step
from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.brakes import brakes
from restyle.coordination.runs.progress import Progress
from restyle.coordination.runs.registry import Totals, legible
from restyle.coordination.suspensions import Suspension
from restyle.errors import ConfigurationError, RunUnreadable
from restyle.formats import lying_at
from restyle.keys import Workspace
from restyle.models import ENDED, Labels, ManifestSource, Outcome, Run, RunStatus
from restyle.run_ids import is_run_id
from restyle.s3.store import Store
from restyle.value import UtcTime, Value

#: What a report must say for a run's ledger to be read from it.
_COUNTED = frozenset({"succeeded", "skipped", "failed", "attempts", "in_doubt", "credits_spent"})


class SuspensionNote(Value):
    """Why a run stands still, since when, and what a person does about it."""

    scope: str
    reason: str
    detail: str
    since: UtcTime
    until: UtcTime | None
    by: str
    next: str


class BrakeNote(Value):
    """A variant that is braked, and why."""

    variant: str
    reason: str
    detail: str

    @property
    def sentence(self) -> str:
        """That the variant stands still, and why."""
        return f"variant {self.variant} stopped ({self.reason}): {self.detail}"


class Trouble(Value):
    """Why a run cannot be moved, and what a person does about it."""

    reason: str
    next: str


class Snapshot(Value):
    """A run at one moment; succeeded + skipped + failed + pending = planned."""

    run_id: str
    status: RunStatus
    planned: int
    succeeded: int
    skipped: int
    failed: int
    pending: int
    invalid: int
    suspect: int
    """Of the succeeded and skipped: their pictures look wrong."""
    reused: int = 0
    """Of the skipped: their pictures were copied from other results with the same input and recipe."""
    saved: float = 0.0
    """Credits that those pictures cost then."""
    in_doubt: int
    attempts: int
    credits_spent: float
    credits_left: float | None
    suspension: SuspensionNote | None
    report: str | None
    outputs: str
    created: UtcTime
    finished: UtcTime | None
    workers: int
    in_flight: int
    last_error: str
    credits_before: float | None = None
    credits_after: float | None = None
    trouble: Trouble | None = None
    """What keeps the dispatcher from moving it."""
    braked: tuple[BrakeNote, ...] = ()
    """Its variants that stand still, while it goes on with the others."""
    name: str = ""
    """Its own, or its schedule's."""
    labels: Labels = Field(default_factory=dict)
    manifest: ManifestSource | None = None
    prompt: str = ""
    """The head of its first prompt."""
    by: str = ""
    budget: float | None = None
    sandbox: bool = False

    @property
    def ended(self) -> bool:
        """Whether the run moves no more."""
        return self.status is RunStatus.FINISHED or (self.status is RunStatus.CANCELLED and self.report is not None)


def read_run(run_id: str, *, store: Store, workspace: Workspace) -> Run:
    """A run's run.json.

    Raises:
        ConfigurationError: there is no such run in this workspace.
        RunUnreadable: its run.json is none that this version reads; NewerFormat where a later one wrote it.
    """
    stored = store.find(workspace.run(run_id)) if is_run_id(run_id) else None
    if stored is None:
        raise ConfigurationError(f"there is no run {run_id} in {workspace.uri}; `restyle runs` lists those there are")
    try:
        with lying_at(workspace.run(run_id)):
            return Run.model_validate_json(stored.data)
    except ValidationError as error:
        why = error.errors()[0]
        field = ".".join(str(part) for part in why["loc"])
        raise RunUnreadable(
            f"{workspace.run(run_id)} cannot be read by this version of restyle ({field}: {why['msg']}); the version"
            " that planned the run reads it"
        ) from None


def write_run(run: Run, *, store: Store, workspace: Workspace) -> None:
    """Writes run.json: on each change of state."""
    text = run.model_dump_json(indent=1).encode()
    store.put(workspace.run(run.run_id), text, content_type="application/json")


def rows_of(run: Run, *, store: Store, workspace: Workspace, progress: Progress) -> Rows:
    """The run's jobs with their outcomes so far, streamed anew at each call."""
    return lambda: outcomes(
        run, workspace=workspace, store=store, open_outcomes=lambda shard: progress.outcomes(run.run_id, shard)
    )


def snapshot(run: Run, *, store: Store, workspace: Workspace, progress: Progress, fleet: Fleet) -> Snapshot:
    """The run as it stands now."""
    totals, trouble = _standing(run, progress)
    # Where Redis does not know it:
    totals = totals or totals_of_report(run, store, workspace) or totals_of_results(run, store, workspace, progress)
    suspensions = [] if totals.status in ENDED else _suspensions(run, progress, fleet)
    workers, in_flight = _at_work(fleet)
    over = totals.status is RunStatus.FINISHED or (totals.status is RunStatus.CANCELLED and run.finished is not None)
    return Snapshot(
        run_id=run.run_id, name=run.title, labels=run.labels, manifest=run.manifest, prompt=run.prompt, by=run.by,
        budget=run.budget, sandbox=run.options.sandbox, created=run.created, finished=run.finished, invalid=run.invalid,
        status=_status(totals.status, suspensions), planned=totals.planned, succeeded=totals.succeeded,
        skipped=totals.skipped, failed=totals.failed, pending=totals.pending, suspect=totals.suspect,
        reused=totals.reused, saved=totals.saved, in_doubt=totals.in_doubt, attempts=totals.attempts,
        last_error=totals.last_error, credits_spent=totals.credits, credits_left=fleet.credits_left(),
        credits_before=totals.credits_before, credits_after=totals.credits_after,
        suspension=_note_of(run, suspensions[0]) if suspensions else None, trouble=trouble,
        braked=() if over else _braked(run, progress),
        report=workspace.run(run.run_id, "report.csv") if over else None,
        outputs=workspace.under("trials" if run.trial else "outputs"),
        workers=workers, in_flight=min(in_flight, totals.pending),  # heartbeats tell it a moment late
    )  # fmt: skip


def _suspensions(run: Run, progress: Progress, fleet: Fleet) -> list[Suspension]:
    """What stands: what a person has to see to before what ends by itself."""
    standing = fleet.standing() + progress.suspensions(run.run_id)
    return sorted(standing, key=lambda suspension: suspension.ends_itself)


def _at_work(fleet: Fleet) -> tuple[int, int]:
    """How many workers there are, and how many calls they have in flight, by their heartbeats."""
    heartbeats = [heartbeat for heartbeat in fleet.workers().values() if heartbeat is not None]
    return len(heartbeats), sum(int(str(heartbeat.get("in_flight", 0))) for heartbeat in heartbeats)


def _braked(run: Run, progress: Progress) -> tuple[BrakeNote, ...]:
    standing = brakes(progress.state, run.run_id)
    return tuple(BrakeNote(variant=brake.variant, reason=brake.reason, detail=brake.detail) for brake in standing)


def _standing(run: Run, progress: Progress) -> tuple[Totals | None, Trouble | None]:
    """The ledger as Redis has it, and what is wrong with the run."""
    fields = progress.trouble(run.run_id)
    trouble = Trouble.model_validate(fields) if fields else None
    try:
        totals = progress.totals(run.run_id)
        if not trouble and run.status not in ENDED and not (totals and progress.is_listed(run.run_id)):
            trouble = Trouble(
                reason="Redis does not know that it is to be moved",
                next=f"wait for a minute, in which workers look for such runs; then type: restyle resume {run.run_id}",
            )
        return totals, trouble
    except RunUnreadable as error:
        return None, trouble or Trouble(
            reason=error.message, next=f"to rebuild it from S3, type: restyle resume {run.run_id}"
        )


def watch(
    run: Run, *, store: Store, workspace: Workspace, progress: Progress, fleet: Fleet, every: float = 0.5
) -> Iterator[Snapshot]:
    """Snapshots until the run has ended; the caller stops earlier where a suspension needs a person."""
    while True:
        now = snapshot(run, store=store, workspace=workspace, progress=progress, fleet=fleet)
        if now.status in ENDED:
            # The report and the time of its end are in run.json, written before the status.
            run = read_run(run.run_id, store=store, workspace=workspace)
            now = snapshot(run, store=store, workspace=workspace, progress=progress, fleet=fleet)
        yield now
        if now.ended:
            return
        time.sleep(every)


def _status(status: RunStatus, suspensions: list[Suspension]) -> RunStatus:
    if status is not RunStatus.RUNNING or not suspensions:
        return status
    waiting = any(suspension.reason == "awaiting_approval" for suspension in suspensions)
    return RunStatus.AWAITING_APPROVAL if waiting else RunStatus.SUSPENDED


def _note_of(run: Run, suspension: Suspension) -> SuspensionNote:
    return note_of(
        suspension, run.run_id, sandbox=run.options.sandbox, budget=run.budget, waits=run.wait_credits
    )  # fmt: skip


def note_of(
    suspension: Suspension, run_id: str = "", *, sandbox: bool, budget: float | None = None, waits: bool = False
) -> SuspensionNote:
    """A suspension as commands tell it, with what is typed about it for this run, or for the fleet."""
    return SuspensionNote(
        scope=suspension.scope,
        reason=suspension.reason,
        detail=suspension.detail,
        since=datetime.fromtimestamp(suspension.since, UTC),
        until=datetime.fromtimestamp(suspension.until, UTC) if suspension.until else None,
        by=suspension.by,
        next=next_step(suspension, run_id, sandbox=sandbox, budget=budget, waits=waits),
    )


def totals_of_report(run: Run, store: Store, workspace: Workspace) -> Totals | None:
    """The ledger of a run that has ended, as its report says it for good; None where it does not."""
    report = find_report(run.run_id, store, workspace) if run.finished else {}
    is_its_own = report and report.get("finished") == run.model_dump(mode="json")["finished"]
    if not is_its_own or not report.keys() >= _COUNTED:
        return None
    known = {
        "status": run.status.value, "planned": run.planned, "credits": report["credits_spent"],
        **dict.fromkeys(("shards", "closed", "cursor"), run.shards),
    }  # fmt: skip
    return legible({name: str(value) for name, value in (report | known).items() if value is not None})


def totals_of_results(run: Run, store: Store, workspace: Workspace, progress: Progress) -> Totals:
    """The ledger where Redis does not know the run: what results/ say; all else is pending."""

    def readable(shard: int) -> dict[int, Outcome]:
        try:
            return progress.outcomes(run.run_id, shard)
        except RunUnreadable:
            return {}

    statistics = Statistics()
    for job, outcome in outcomes(run, workspace=workspace, store=store, open_outcomes=readable):
        statistics.add(job, outcome)
    totals = statistics.totals
    return Totals(
        status=run.status, planned=run.planned, shards=run.shards, closed=0, cursor=0, succeeded=totals.succeeded,
        skipped=totals.skipped, failed=totals.failed, attempts=statistics.attempts, in_doubt=statistics.in_doubt,
        credits=round(totals.credits, 6), last_error="", credits_before=None, credits_after=None, finish_queued=0,
        suspect=totals.suspect, reused=totals.reused, saved=round(totals.saved, 6),
    )  # fmt: skip
