"""reconcile: what the account was billed for, beside what the workspace has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import typer

from apps.cli import options
from apps.session import Session, session
from apps.stack import local
from apps.terminal.console import amount, print_json, say, talk
from config.connections import who
from config.settings import Settings
from reports.lost_pictures import Recovery
from reports.reconcile import Finding, Kind, Reconciled
from reports.reconcile import reconcile as compare
from restyle.errors import ConfigurationError
from restyle.models import utc_now
from restyle.segmind.history import Billed, CannotTell, read_billed
from restyle.segmind.v2 import SegmindQueue
from tasks.resources import open_queue

#: The history tells of 31 days at most, tomorrow (of another time zone) included; it keeps pictures for seven.
_MOST_DAYS, _DAYS = 29, 7
_MOST_PAGES, _SHOWN = 10_000, 20
_SENTENCES = {
    Kind.LOST: "billed, and their jobs have no picture",
    Kind.AGAIN: "billed, and their jobs have the picture of another call: an answer was lost, or it was made anew",
    Kind.ELSEWHERE: "billed, and requested by no run of this workspace",
    Kind.UNBILLED: "recorded as paid, and not in the account's history",
}


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: restyle reconcile · restyle reconcile --since 2026-01-31 · restyle reconcile --fetch"
    )(reconcile)


def reconcile(
    since: str = typer.Option("", help="From this day on, UTC; else the last 7 days.", metavar="DATE"),
    fetch: bool = typer.Option(False, "--fetch", help="Fetch pictures that were billed and never came."),
    sandbox: options.Sandbox = False,
    as_json: options.Json = False,
) -> None:
    """Compare the account's history with the records: what was billed and is not here, and the other way round."""
    start = _start(since)
    with session(options.settings_from(sandbox=sandbox)) as here:
        client = _client(here)
        try:
            with talk.status("Reading the account's history…"):
                billed = _billed(client, start)
            with talk.status("Comparing…"):
                known = compare(
                    billed, start, store=here.store, workspace=here.workspace,
                    rows=lambda run: here.rows(run)(),
                )  # fmt: skip
            _show(known, start)
            lost = [finding for finding in known.findings if finding.kind is Kind.LOST]
            refused = _fetch_all(lost, client, here) if fetch else {}
        finally:
            client.close()
    fetched = [one for one in lost if fetch and one.request_id not in refused]
    _advise(lost, fetched, refused, is_fetching=fetch)
    if as_json:
        print_json(_as_object(known, fetched, refused))


def _start(since: str) -> datetime:
    """When to begin.

    Raises:
        ConfigurationError: it is no day, or too long ago.
    """
    now = utc_now()
    if not since:
        return now - timedelta(days=_DAYS)
    try:
        start = datetime.fromisoformat(since).replace(tzinfo=UTC)
        if f"{start:%Y-%m-%d}" != since:
            raise ValueError
    except ValueError:
        raise ConfigurationError(f"--since {since}: write it like 2026-01-31") from None
    if start > now:
        raise ConfigurationError(f"--since {since}: that day is still to come, in UTC")
    if start < now - timedelta(days=_MOST_DAYS):
        raise ConfigurationError(f"--since {since}: the account's history tells of the last {_MOST_DAYS} days")
    return start


def _client(here: Session) -> SegmindQueue:
    """The client of the account.

    Raises:
        ConfigurationError: there is no key; or it is the embedded sandbox's account, which ended with its stack.
    """
    settings: Settings | None = here.settings
    if here.embedded and here.settings.sandbox:
        settings = local.with_running_sandbox(here.settings)
        if settings is None:
            raise ConfigurationError(
                "no sandbox is up in this folder, and its account's history ended with it; start one that stays with"
                " restyle run MANIFEST --sandbox --detach"
            )
    if settings is None or settings.api_key is None:
        raise ConfigurationError("the account's history needs the API key: set RESTYLE_API_KEY")
    return open_queue(settings, settings.api_key.get_secret_value())


def _billed(client: SegmindQueue, start: datetime) -> dict[str, Billed]:
    try:
        return read_billed(client.rows(start, most_pages=_MOST_PAGES))
    except CannotTell as why:
        raise ConfigurationError(f"nothing can be compared: {why}; restyle doctor looks at the settings") from None


def _fetch_all(lost: Sequence[Finding], client: SegmindQueue, here: Session) -> dict[str, str]:
    """Fetches the lost pictures; why not, by request, where one cannot be."""
    recovery = Recovery(client.links.fetch, here.store, here.workspace, who(), version("catalog-restyle"))
    with talk.status("Fetching…"):
        reasons = {finding.request_id: recovery.fetch(finding) for finding in lost}
    return {request_id: why for request_id, why in reasons.items() if why}


def _show(known: Reconciled, start: datetime) -> None:
    say(
        f"Since {start:%Y-%m-%d %H:%M} UTC: {known.billed:,} requests billed ({amount(known.billed_credits)} credits),"
        f" {known.recorded:,} calls recorded ({amount(known.recorded_credits)} credits)."
    )
    if not known.findings:
        say("They agree.", "green")
    for kind, sentence in _SENTENCES.items():
        ours = [finding for finding in known.findings if finding.kind is kind]
        if not ours:
            continue
        say(f"{len(ours):,} {sentence} ({amount(_credits(ours))} credits):", "yellow")
        for finding in ours[:_SHOWN]:
            say(f"  {_line(finding)}", "dim")
        if len(ours) > _SHOWN:
            say(f"  … and {len(ours) - _SHOWN:,} more; all of them: --json", "dim")


def _line(finding: Finding) -> str:
    name = f"{finding.job.id} ({finding.job.variant})" if finding.job else finding.name
    whose = f" {name}" if name else ""
    run = f" of run {finding.run.run_id}" if finding.run else ""
    return f"{finding.at:%Y-%m-%d %H:%M:%S} {finding.request_id or 'without an id'}{whose}{run}"


def _credits(findings: Sequence[Finding]) -> float:
    return sum(finding.credits or 0.0 for finding in findings)


def _advise(
    lost: Sequence[Finding], fetched: Sequence[Finding], refused: Mapping[str, str], *, is_fetching: bool
) -> None:
    for finding in lost:
        if finding.request_id in refused:
            say(f"not fetched: {finding.request_id}: {refused[finding.request_id]}", "yellow")
    if lost and not is_fetching:
        say("next: restyle reconcile --fetch")
    runs = Counter(finding.run.run_id for finding in fetched if finding.run)
    for run_id, count in runs.items():
        say(f"{count:,} fetched for run {run_id}; to make outputs of them, without a call:")
        say(f"next: restyle retry {run_id} --unreadable")


def _as_object(known: Reconciled, fetched: Sequence[Finding], refused: Mapping[str, str]) -> dict[str, object]:
    ids = {finding.request_id for finding in fetched}
    return {
        "billed": {"requests": known.billed, "credits": round(known.billed_credits, 6)},
        "recorded": {"calls": known.recorded, "credits": round(known.recorded_credits, 6)},
        "findings": [
            {
                "kind": one.kind.value, "request_id": one.request_id, "credits": one.credits, "at": one.at.isoformat(),
                "run": one.run.run_id if one.run else None, "id": one.job.id if one.job else None,
                "variant": one.job.variant if one.job else None, "fetched": one.request_id in ids,
                "why_not": refused.get(one.request_id, ""),
            }
            for one in known.findings
        ],
    }  # fmt: skip
