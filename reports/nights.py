"""A schedule's night against its last ones: what was called, spent and failed, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from statistics import median
from typing import Any

from producers.runs.listing import read_runs, run_ids
from producers.runs.snapshot import Snapshot, snapshot
from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.progress import Progress
from restyle.errors import ConfigurationError, InputNotFound, RunUnreadable
from restyle.keys import Workspace
from restyle.models import Run, RunStatus
from restyle.run_ids import schedule_of
from restyle.s3.store import Store
from restyle.value import Value

#: Nights that one is compared with.
NIGHTS = 7


class Night(Value):
    """What one night came to."""

    run_id: str
    calls: int
    succeeded: int
    skipped: int
    failed: int
    suspect: int
    credits_spent: float
    minutes: float


class Digest(Value):
    """A night against the last ones of its schedule."""

    night: Night
    before: tuple[Night, ...]
    """Newest first; those that finished."""

    @property
    def text(self) -> str:
        """The same as a sentence: each figure with the middle one of before, and where it is above all of them."""
        count = len(self.before)
        figures = [
            self._figure("calls", "{:,.0f} calls"), self._figure("credits_spent", "{:,.2f} credits"),
            self._figure("failed", "{:,.0f} failed"), self._figure("suspect", "{:,.0f} look wrong"),
            self._figure("minutes", "{:,.0f} min"),
        ]  # fmt: skip
        nights = "the night before" if count == 1 else f"the last {count} nights (their median in brackets)"
        return f"Against {nights}: {' · '.join(figures)}"

    def _figure(self, name: str, form: str) -> str:
        now, before = getattr(self.night, name), [getattr(night, name) for night in self.before]
        number = form.partition(" ")[0]
        above = ", more than on any of them" if len(before) > 1 and now > max(before) and now > 0 else ""
        return f"{form.format(now)} ({number.format(median(before))}{above})"


def against_nights(
    text: str, run: Run, now: Snapshot, store: Store, workspace: Workspace, progress: Progress, fleet: Fleet
) -> dict[str, Any]:
    """What a message about a night's end says of the last ones: `nights`, and its text with a line more.

    Args:
        text: of the message.
        run: as it ended.
        now: the same as a snapshot.
        store: S3.
        workspace: where the earlier runs lie.
        progress: what Redis has of those that ended lately.
        fleet: the fleet.
    """
    digest = _digest_of(run, now, store, workspace, progress, fleet)
    if digest is None:
        return {"nights": None}
    return {"nights": digest.model_dump(mode="json"), "text": f"{text}\n{digest.text}"}


def _digest_of(
    run: Run, now: Snapshot, store: Store, workspace: Workspace, progress: Progress, fleet: Fleet
) -> Digest | None:
    """A run that a schedule started against those before it; None where there is nothing to compare."""
    if not run.schedule or run.status is not RunStatus.FINISHED:
        return None
    own = (name for name in run_ids(store, workspace) if schedule_of(name) == run.schedule and name < run.run_id)
    earlier = (one for one in read_runs(islice(own, 2 * NIGHTS), store, workspace) if _is_night(one, run))

    def nights() -> Iterator[Night]:
        for one in earlier:
            try:
                yield _night(snapshot(one, store=store, workspace=workspace, progress=progress, fleet=fleet))
            except (RunUnreadable, ConfigurationError, InputNotFound):
                continue  # pruned, or of another version

    before = tuple(islice(nights(), NIGHTS))
    return Digest(night=_night(now), before=before) if before else None


def _is_night(one: Run, run: Run) -> bool:
    return one.schedule == run.schedule and one.status is RunStatus.FINISHED


def _night(now: Snapshot) -> Night:
    seconds = (now.finished - now.created).total_seconds() if now.finished else 0.0
    return Night(
        run_id=now.run_id, calls=now.attempts, succeeded=now.succeeded, skipped=now.skipped, failed=now.failed,
        suspect=now.suspect, credits_spent=round(now.credits_spent, 6), minutes=round(seconds / 60, 1),
    )  # fmt: skip
