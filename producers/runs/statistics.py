"""What a run came to: the counts that a report takes from its rows in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from datetime import datetime

from producers.runs.charts import Timeline
from producers.runs.reasons import Reasons
from restyle.models import Job, Outcome, OutcomeKind

#: What stands for the outcome of a job that has none.
PENDING = "pending"
#: Selects jobs whose pictures look wrong, beside the outcomes.
SUSPECT = "suspect"


def outcome_word(outcome: Outcome | None) -> str:
    """How a job ended, in one word; `pending` where it has not."""
    return outcome.outcome.value if outcome else PENDING


def is_selected(outcome: Outcome | None, statuses: Collection[str]) -> bool:
    """Whether a job ended in one of these ways; `suspect` is one beside the outcomes."""
    return outcome_word(outcome) in statuses or (SUSPECT in statuses and outcome is not None and bool(outcome.suspect))


@dataclass
class ErrorStatistics:
    """How often one error ended a job, and its message the first time."""

    count: int = 0
    message: str = ""


@dataclass
class VariantStatistics:
    """How one variant's jobs ended."""

    succeeded: int = 0
    skipped: int = 0
    failed: int = 0
    pending: int = 0
    suspect: int = 0
    """Of the succeeded and skipped."""
    credits: float = 0.0
    reused: int = 0
    """Of the skipped: copied from other results."""
    saved: float = 0.0
    """Credits that the reused ones cost then."""


@dataclass
class Statistics:
    """What the first pass over the rows counts; its size does not depend on their number."""

    #: The entries' columns in order of appearance.
    columns: dict[str, None] = field(default_factory=dict)
    variants: dict[str, VariantStatistics] = field(default_factory=dict)
    errors: dict[str, ErrorStatistics] = field(default_factory=dict)
    reasons: Reasons = field(default_factory=Reasons)
    attempts: int = 0
    in_doubt: int = 0
    #: Seconds of successful calls to three digits, which bounds how many different ones there are.
    seconds: Counter[float] = field(default_factory=Counter)
    timeline: Timeline = field(default_factory=Timeline)
    first: datetime | None = None
    last: datetime | None = None

    def add(self, job: Job, outcome: Outcome | None) -> None:
        """Counts one row."""
        self.columns.update(dict.fromkeys(job.meta))
        variant = self.variants.setdefault(job.variant, VariantStatistics())
        kind = outcome_word(outcome)
        setattr(variant, kind, getattr(variant, kind) + 1)
        self.reasons.add(job, outcome)
        if outcome:
            variant.credits += outcome.credits
            variant.suspect += bool(outcome.suspect)
            variant.reused += outcome.reused
            variant.saved += outcome.saved
            self._add_outcome(outcome)

    def _add_outcome(self, outcome: Outcome) -> None:
        self.attempts += outcome.attempts
        self.in_doubt += outcome.in_doubt
        if outcome.outcome is OutcomeKind.FAILED:
            error = self.errors.setdefault(outcome.error, ErrorStatistics(message=outcome.message))
            error.count += 1
        if outcome.outcome is OutcomeKind.SUCCEEDED and outcome.seconds:
            self.seconds[float(f"{outcome.seconds:.3g}")] += 1
        if outcome.ended:
            self.timeline.add(outcome.ended, outcome.outcome.value)
            self.first = min(self.first or outcome.ended, outcome.ended)
            self.last = max(self.last or outcome.ended, outcome.ended)

    @property
    def totals(self) -> VariantStatistics:
        """All variants together."""
        names = (field.name for field in fields(VariantStatistics))
        return VariantStatistics(
            **{name: sum(getattr(variant, name) for variant in self.variants.values()) for name in names}
        )

    def percentile(self, percent: int) -> float | None:
        """Seconds within which this share of the successful calls had answered; None without any."""
        rank = -(-self.seconds.total() * percent // 100)  # rounded up
        for seconds in sorted(self.seconds):
            rank -= self.seconds[seconds]
            if rank <= 0:
                return seconds
        return None
