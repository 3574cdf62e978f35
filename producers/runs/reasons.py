"""Why jobs of a run failed: equal failures as one reason, with how many there are and the first few of them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import Field, ValidationError

from producers.runs.kept_report import find_report
from producers.runs.outcomes import Rows
from restyle.errors import RestyleError
from restyle.keys import Workspace
from restyle.models import Job, Outcome, OutcomeKind, Run
from restyle.problems import escaped
from restyle.s3.store import Store
from restyle.value import Value

#: Reasons that are distinguished; what comes beyond counts by its error alone. Those that a report keeps.
MOST, KEPT = 200, 20
#: Jobs that a reason names, and characters of its message.
EXAMPLES, WORDS = 3, 300
#: Characters of an error's code that are kept; each of ours is shorter.
LONGEST_CODE = 100
#: Seconds for which a run that has no report is read through.
LOOK_FOR = 2.0

#: What differs between equal failures: places, ids, numbers.
_OWN = re.compile(r"[\d/\\'\"]")


@dataclass
class Group:
    """One reason, as it is counted."""

    error: str
    message: str
    count: int = 0
    examples: list[str] = field(default_factory=list)


class Reason(Value):
    """One reason, as a report keeps it."""

    error: str = Field(max_length=LONGEST_CODE)
    message: str = Field(max_length=WORDS)
    """What all of them say; `…` for what each says otherwise."""
    count: int
    examples: tuple[str, ...] = Field((), max_length=EXAMPLES)
    """Some of the jobs, as `<id>/<variant>`."""


class Reasons:
    """Counts failures; its size does not depend on their number."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, int | None, str], Group] = {}

    def add(self, job: Job, outcome: Outcome | None) -> None:
        """Counts one row; what did not fail is passed over."""
        if outcome is None or outcome.outcome is not OutcomeKind.FAILED:
            return
        words = _words(job, outcome)
        message = " ".join(words)
        key = outcome.error, outcome.http_status, " ".join("…" if _OWN.search(word) else word for word in words)
        if key not in self._groups and len(self._groups) >= MOST:
            key, message = (outcome.error, None, ""), "and others"
        group = self._groups.setdefault(key, Group(outcome.error[:LONGEST_CODE], message))
        group.count += 1
        group.message = common(group.message, message)
        if len(group.examples) < EXAMPLES:
            group.examples.append(f"{job.id}/{job.variant}")

    def ranked(self) -> list[Reason]:
        """The reasons of most failures, those first."""
        groups = sorted(self._groups.values(), key=lambda group: -group.count)[:KEPT]
        return [Reason.model_validate(asdict(group)) for group in groups]


def _words(job: Job, outcome: Outcome) -> list[str]:
    """The message of a failure, within bounds; the job's own id is left out."""
    line = (outcome.message[: 4 * WORDS].strip().splitlines() or [""])[0]
    text = escaped(re.sub(rf"(?<!\w){re.escape(job.id)}(?!\w)", "…", line))
    return (text if len(text) <= WORDS else text[: WORDS - 1] + "…").split()


def common(first: str, second: str) -> str:
    """What two messages of one reason say alike, `…` in the place of the words that differ."""
    pairs = list(zip(first.split(" "), second.split(" "), strict=False))
    if first == second or len(pairs) != len(first.split(" ")):
        return first
    return " ".join(one if one == other else "…" for one, other in pairs)


def reasons_of(run: Run, rows: Rows, *, store: Store, workspace: Workspace) -> list[Reason]:
    """Why jobs of a run failed, by its report, else by its rows as far as they can be read in a moment."""
    report = find_report(run.run_id, store, workspace) if run.finished else {}
    if "reasons" in report:
        return read_reasons(report["reasons"])
    reasons, until = Reasons(), time.monotonic() + LOOK_FOR
    try:
        for job, outcome in rows():
            reasons.add(job, outcome)
            if time.monotonic() > until:
                break
    except RestyleError:
        pass  # of a run that was pruned, or cannot be read whole, what was seen is reported
    return reasons.ranked()


def read_reasons(entries: Any) -> list[Reason]:
    """What a report says; what is no reason is passed over."""
    return list(_read(entries))


def _read(entries: Any) -> Iterator[Reason]:
    for entry in entries[:KEPT] if isinstance(entries, list) else ():
        try:
            yield Reason.model_validate(entry)
        except ValidationError:
            continue
