"""What `restyle plan --diff` shows: a line for each kind of change."""

from __future__ import annotations

from rich.table import Table

from apps.session import Session
from apps.terminal.console import credits_text, say, talk
from config.settings import Settings
from producers.planning.compare.changes import PAID, Change
from producers.planning.compare.diff import Diff, compare, with_diff
from producers.planning.plan import Plan

_DESCRIPTIONS = {
    Change.NEW: "new",
    Change.INPUT_CHANGED: "input changed",
    Change.RECIPE_CHANGED: "recipe changed",
    Change.UNCHANGED: "unchanged",
    Change.REMOVED: "removed",
    Change.MISSING: "input missing",
}


def compared(plan: Plan, here: Session) -> tuple[Plan, Diff]:
    """The plan with its exact estimate, and how its jobs are sorted."""
    with talk.status("Comparing with what is done…"):
        diff = compare(plan, store=here.store, workspace=here.workspace, settings=here.settings)
    return with_diff(plan, diff, here.settings), diff


def show_diff(diff: Diff, settings: Settings) -> None:
    """The kinds of change in a table, on stderr."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("jobs", justify="right")
    table.add_column("cost", justify="right")
    table.add_column("for example", style="dim", overflow="ellipsis", no_wrap=True, max_width=60)
    for change, words in _DESCRIPTIONS.items():
        group = diff.groups[change]
        if change is Change.REMOVED and diff.since is None:
            continue
        if change is Change.MISSING and not group.jobs:
            continue
        is_free = settings.sandbox or not (group.credits or change in PAID)
        cost = "free" if is_free else credits_text(group.credits, settings.credit_price)
        table.add_row(words, f"{group.jobs:,}", cost if group.jobs else "", " ".join(group.examples[:3]))
    talk.print(table)
    if diff.groups[Change.MISSING].jobs:
        say("warning: jobs whose input is missing will fail, without a call", "yellow")
    if diff.since:
        say(f"Removed is what {diff.since} had and this manifest has no longer; its outputs stay.", "dim")
    if not diff.exact:
        say("warning: results of a run since were pruned; what it did again is not seen here", "yellow")
