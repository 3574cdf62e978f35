"""The live progress of a run: moving on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from apps.session import Session
from apps.terminal.console import Volume, amount, credits_text, say, talk
from apps.views.pace import Pace
from producers.runs.snapshot import Snapshot
from producers.runs.statistics import VariantStatistics
from restyle.errors import StateUnavailable, StoreUnavailable
from restyle.models import Job, Outcome, Run, RunStatus

if TYPE_CHECKING:
    from apps.views.run_detail import CloseUp

#: Seconds between two lines where there is no terminal: at first, after hours, and by which part of what has passed.
EVERY, SELDOM, PART = 10.0, 600.0, 1 / 6
#: Seconds between two looks at the jobs themselves.
LOOK_EVERY = 1.0
#: How many variants and failures there is room for.
VARIANTS, FAILURES = 8, 3


@dataclass(frozen=True)
class Near:
    """What is known of the jobs themselves: how each variant fares, and the last failures, newest first."""

    variants: Mapping[str, VariantStatistics] = field(default_factory=dict)
    failures: Sequence[tuple[Job, Outcome]] = ()


@contextmanager
def live_progress(run: Run, here: Session) -> Iterator[Callable[[Snapshot], None]]:
    """Gives a function that shows a snapshot."""
    pace, price = Pace(), here.settings.credit_price
    if not talk.is_terminal:
        yield _lines(pace, price)
        return
    looked = Looking(run, here)
    with Live(console=talk, refresh_per_second=8, transient=False) as live:

        def show(now: Snapshot) -> None:
            pace.add(now.planned - now.pending)
            live.update(draw(now, pace, looked.near(now), price))

        yield show


class Looking:
    """Looks at the jobs of a run now and then; a Redis or S3 that is away leaves what was seen last."""

    def __init__(self, run: Run, here: Session) -> None:
        # Imported here: the dashboard's own look takes its pace from this module.
        from apps.views.run_detail import CloseUp

        self._run, self._here = run, here
        self._close: CloseUp = CloseUp(here, run.run_id)

    def near(self, now: Snapshot) -> Near:
        """What is known by now."""
        from apps.views.moment import Row

        if time.monotonic() - self._close.taken >= LOOK_EVERY or now.ended:
            with suppress(StateUnavailable, StoreUnavailable):
                self._close.look(Row(self._run, "here", self._here.progress.totals(self._run.run_id)))
        return Near(self._close.variants, [(shown.job, shown.outcome) for shown in self._close.failures])


def _lines(pace: Pace, price: float, clock: Callable[[], float] = time.monotonic) -> Callable[[Snapshot], None]:
    """A line now and then, the longer it takes the more seldom; and one whenever the run stands still, or goes on."""
    began, last_line, stood = clock(), float("-inf"), ""

    def show(now: Snapshot) -> None:
        nonlocal last_line, stood
        pace.add(now.planned - now.pending)
        every = EVERY if Volume.is_verbose else min(SELDOM, max(EVERY, PART * (clock() - began)))
        stands = now.suspension.reason if now.suspension else ""
        if clock() - last_line >= every or now.ended or stands != stood:
            last_line, stood = clock(), stands
            say(" · ".join([f"{now.planned - now.pending:,}/{now.planned:,}", *facts(now, pace, price)]))

    return show


def facts(now: Snapshot, pace: Pace, price: float) -> list[str]:
    """The numbers of a moment, as short phrases."""
    parts = [f"{now.succeeded:,} succeeded"]
    if now.skipped:
        parts.append(f"{now.skipped:,} skipped" + (f" ({now.reused:,} reused)" if now.reused else ""))
    if now.failed:
        parts.append(f"{now.failed:,} failed")
    if now.suspect:
        parts.append(f"{now.suspect:,} suspect")
    if now.invalid:
        parts.append(f"{now.invalid:,} invalid")
    if now.status is RunStatus.RUNNING and now.pending:
        parts += [f"{pace.per_minute:,.0f} a minute", f"{pace.left(now.pending)} left", f"{now.in_flight} in flight"]
    parts.append("spent " + credits_text(now.credits_spent, price))
    if now.credits_left is not None:
        parts.append(f"{amount(now.credits_left)} left on the account")
    parts += [f"{brake.variant} stopped: {brake.reason}" for brake in now.braked if not now.suspension]
    if now.suspension:
        parts.append(f"suspended: {now.suspension.reason}")
    return parts


# -- one moment --------------------------------------------------------------------------------


def draw(now: Snapshot, pace: Pace, near: Near, price: float) -> Group:
    """All of it: progress, pace and money, the variants, the last failures, and why it stands still if it does."""
    parts: list[RenderableType] = [_progress(now), _counts(now), _pace(now, pace, price)]
    if len(near.variants) > 1:
        parts += [Text(), _variants(near.variants)]
    if near.failures:
        parts += [Text(), *_failures(near.failures)]
    elif now.failed and now.last_error:
        parts += [Text(), _line(Text(f"last error: {now.last_error}", style="yellow"))]
    for brake in now.braked if not now.suspension else ():
        parts += [Text(), _line(Text(brake.sentence, style="bold yellow"))]
    if now.suspension:
        note = now.suspension
        parts += [Text(), Text(f"suspended ({note.reason}): {note.detail}", style="bold yellow")]
        parts.append(Text(f"next: {note.next}", style="yellow"))
    return Group(*parts)


def _progress(now: Snapshot) -> Table:
    done = now.planned - now.pending
    share = done / now.planned if now.planned else 1.0
    bar = Table.grid(padding=(0, 1))
    for title in ("run", "bar", "share", "count"):
        bar.add_column(title, no_wrap=True)
    bar.add_row(
        Text(now.run_id, style="bold"),
        ProgressBar(total=max(now.planned, 1), completed=done, width=30, complete_style="green"),
        # Never 100 % while something is left.
        Text(f"{int(share * 100):3d}%", style="bold"),
        Text(f"{done:,} of {now.planned:,}", style="dim"),
    )
    return bar


def _counts(now: Snapshot) -> Text:
    counts = Text()
    counts.append(f"{now.succeeded:,} succeeded", style="green")
    reused = f" ({now.reused:,} reused)" if now.reused else ""
    counts.append(f"   {now.skipped:,} skipped{reused}", style="cyan" if now.skipped else "dim")
    counts.append(f"   {now.failed:,} failed", style="bold red" if now.failed else "dim")
    if now.suspect:
        counts.append(f"   {now.suspect:,} look wrong", style="yellow")
    if now.invalid:
        counts.append(f"   {now.invalid:,} invalid", style="yellow")
    counts.append(f"   {now.pending:,} pending   {now.in_flight} in flight", style="dim")
    return counts


def _pace(now: Snapshot, pace: Pace, price: float) -> Text:
    line = Text(style="dim")
    if now.pending and now.status is RunStatus.RUNNING:
        if sparkline := pace.sparkline:
            line.append(sparkline + "  ", style="green not dim")
        line.append(f"{pace.per_minute:,.0f} a minute   {pace.left(now.pending)} left   ")
    line.append("spent " + credits_text(now.credits_spent, price))
    if now.credits_left is not None:
        line.append(f"   {amount(now.credits_left)} on the account")
    return line


def _variants(variants: Mapping[str, VariantStatistics]) -> Table:
    """How each variant fares; of many those that fail most."""
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True, max_width=32, overflow="ellipsis")
    for _ in range(4):
        table.add_column(justify="right")
    table.add_row(*(Text(title, style="dim") for title in ("variant", "done", "failed", "look wrong", "credits")))
    ranked = sorted(variants.items(), key=lambda item: (-item[1].failed, item[0]))
    for name, counts in sorted(ranked[:VARIANTS], key=lambda item: item[0]):
        table.add_row(
            Text(name),
            f"{counts.succeeded + counts.skipped:,}",
            Text(f"{counts.failed:,}", style="red" if counts.failed else "dim"),
            Text(f"{counts.suspect:,}", style="yellow" if counts.suspect else "dim"),
            f"{counts.credits:,.2f}",
        )
    if len(ranked) > VARIANTS:
        table.add_row(Text(f"and {len(ranked) - VARIANTS} more", style="dim"))
    return table


def _failures(failures: Sequence[tuple[Job, Outcome]]) -> Iterator[Text]:
    yield Text("last failures", style="dim")
    for job, outcome in failures[:FAILURES]:
        why = outcome.message.strip().splitlines()[0] if outcome.message.strip() else outcome.error.replace("_", " ")
        yield _line(Text.assemble((f"{job.id} · {job.variant}", "red"), f"  {why}"))


def _line(text: Text) -> Text:
    """One line, however much there is to say: the picture must not jump."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
