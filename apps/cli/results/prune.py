"""prune: what old runs no longer need."""

from __future__ import annotations

import re
from datetime import timedelta

import typer

from apps.cli import options
from apps.session import session
from apps.terminal.console import confirm, print_json, say, talk
from reports.prune import Leftover, leftovers, prunable, remove
from restyle.errors import ConfigurationError
from restyle.models import utc_now

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_SHOWN = 20


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: restyle prune --dry-run · restyle prune --older-than 90d --yes")(prune)


def prune(
    older_than: str = typer.Option("30d", help="Only runs that ended longer ago, e.g. 30d, 12h or 8w.", metavar="AGE"),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be removed."),
    sandbox: options.Sandbox = False,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: options.Json = False,
) -> None:
    """Remove plans and results of old runs; never outputs, records, inputs, reports, nor the last run of a manifest."""
    before = utc_now() - _age(older_than)
    with session(options.settings_from(sandbox=sandbox)) as here:
        with talk.status("Looking through the runs…"):
            listed = leftovers(prunable(here.control.runs(), before), here.store, here.workspace)
        _show(listed)
        if listed and not dry_run:
            if not yes:
                confirm(
                    "Remove it?", what="removed", otherwise="nothing was removed: add --yes, or --dry-run to look only"
                )
            with talk.status("Removing…"):
                remove(listed, here.store, here.progress)
            say("Removed.")
    if as_json:
        print_json({
            "runs": [leftover.run.run_id for leftover in listed],
            "objects": sum(len(leftover.objects) for leftover in listed),
            "bytes": sum(leftover.bytes for leftover in listed),
            "removed": bool(listed) and not dry_run,
        })  # fmt: skip


def _age(text: str) -> timedelta:
    """Raises ConfigurationError where the text is no age."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if match is None:
        raise ConfigurationError(f"--older-than {text}: write it like 30d, 12h or 8w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _show(listed: list[Leftover]) -> None:
    if not listed:
        say("There is nothing to remove.")
        return
    for leftover in listed[:_SHOWN]:
        run = leftover.run
        detail = f"{run.created.astimezone():%Y-%m-%d}  {run.status.value}  {len(leftover.objects):,} objects"
        say(f"{run.run_id}  {detail}, {leftover.bytes / 1e6:,.1f} MB", "dim")
    if len(listed) > _SHOWN:
        say(f"… and {len(listed) - _SHOWN:,} more runs", "dim")
    objects, size = sum(len(leftover.objects) for leftover in listed), sum(leftover.bytes for leftover in listed)
    say(
        f"Plans, results and notes of {len(listed):,} runs: {objects:,} objects, {size / 1e6:,.1f} MB."
        " Outputs, records, inputs and reports stay."
    )
