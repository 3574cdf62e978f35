"""The live progress of a run: a moving board on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from apps.cli.console import credits_text, say, span_text, talk
from config.settings import Settings
from producers.watch import Snapshot
from restyle.models import Run, RunStatus

#: Seconds between two lines where there is no terminal.
EVERY = 10.0
#: Seconds over which the rate is taken.
WINDOW = 60.0


class Pace:
    """Jobs a minute over the last minute, and what that means for the rest."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, done: int) -> None:
        """Notes how many jobs have ended by now."""
        now = time.monotonic()
        self._seen.append((now, done))
        while now - self._seen[0][0] > WINDOW:
            self._seen.popleft()

    @property
    def per_minute(self) -> float:
        """Jobs ended a minute."""
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first) * 60 if last - first > 0.5 else 0.0

    def left(self, pending: int) -> str:
        """How long the rest takes at this pace."""
        return span_text(pending / self.per_minute * 60) if self.per_minute > 0 else "?"


@contextmanager
def board(run: Run, settings: Settings) -> Iterator[Callable[[Snapshot], None]]:
    """Gives a function that shows a snapshot."""
    pace = Pace()
    if not talk.is_terminal:
        yield _lines(pace, settings)
        return
    with Live(console=talk, refresh_per_second=8, transient=False) as live:

        def show(now: Snapshot) -> None:
            pace.add(now.planned - now.pending)
            live.update(draw(run, now, pace, settings))

        yield show


def _lines(pace: Pace, settings: Settings) -> Callable[[Snapshot], None]:
    last_said = float("-inf")

    def show(now: Snapshot) -> None:
        nonlocal last_said
        pace.add(now.planned - now.pending)
        if time.monotonic() - last_said >= EVERY or now.ended:
            last_said = time.monotonic()
            say(" · ".join([f"{now.planned - now.pending:,}/{now.planned:,}", *facts(now, pace, settings)]))

    return show


def facts(now: Snapshot, pace: Pace, settings: Settings) -> list[str]:
    """The numbers of a moment, as short phrases."""
    said = [f"{now.succeeded:,} succeeded"]
    if now.skipped:
        said.append(f"{now.skipped:,} skipped")
    if now.failed:
        said.append(f"{now.failed:,} failed")
    if now.suspect:
        said.append(f"{now.suspect:,} suspect")
    if now.status is RunStatus.RUNNING and now.pending:
        said += [f"{pace.per_minute:,.0f} a minute", f"{pace.left(now.pending)} left", f"{now.in_flight} in flight"]
    said.append("spent " + credits_text(now.credits_spent, settings.credit_price))
    if now.credits_left is not None:
        said.append(f"{now.credits_left:,.2f} left on the account")
    if now.suspension:
        said.append(f"suspended: {now.suspension.reason}")
    return said


def draw(run: Run, now: Snapshot, pace: Pace, settings: Settings) -> Group:
    """The board of one moment."""
    done = now.planned - now.pending
    bar = Table.grid(padding=(0, 1), expand=False)
    share = f"{done / now.planned:4.0%}" if now.planned else "100%"
    bar.add_row(
        Text(run.run_id, style="bold"),
        ProgressBar(total=max(now.planned, 1), completed=done, width=40, complete_style="green"),
        Text(share, style="bold"),
        Text(f"{done:,}/{now.planned:,}", style="dim"),
    )
    lines: list[Table | Text] = [bar]
    counts = Text()
    counts.append(f"{now.succeeded:,} succeeded", style="green")
    counts.append(f"   {now.skipped:,} skipped", style="cyan" if now.skipped else "dim")
    counts.append(f"   {now.failed:,} failed", style="bold red" if now.failed else "dim")
    if now.suspect:
        counts.append(f"   {now.suspect:,} suspect", style="yellow")
    counts.append(f"   {now.pending:,} pending   {now.in_flight} in flight", style="dim")
    lines.append(counts)
    money = f"{pace.per_minute:,.0f} a minute   ETA {pace.left(now.pending)}   spent "
    money += credits_text(now.credits_spent, settings.credit_price)
    if now.credits_left is not None:
        money += f"   {now.credits_left:,.2f} left"
    lines.append(Text(money, style="dim"))
    if now.suspension:
        note = now.suspension
        lines.append(Text(f"suspended ({note.reason}): {note.detail}", style="bold yellow"))
        lines.append(Text(f"next: {note.next}", style="yellow"))
    elif now.last_error:
        lines.append(Text(f"last error: {now.last_error}", style="yellow", overflow="ellipsis", no_wrap=True))
    return Group(*lines)
