"""report, download: what a run left behind, in files."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from apps.cli import options
from apps.session import Session, session
from apps.stack.local import home_of
from apps.terminal.console import print_json, say
from apps.terminal.exits import SOME_FAILED
from producers.planning.warnings import unknown_ids_warning
from producers.runs.outcomes import Row, Rows
from producers.runs.review.marks import Marks
from reports.copies.copy import copy_grid, copy_page
from reports.copies.download import Selection
from reports.copies.download import download as copy_outputs
from reports.pages.grid import GRID
from reports.report import marked_csv, slice_csv, write_report
from restyle.errors import ConfigurationError
from restyle.models import Run

STATUSES = frozenset({"succeeded", "skipped", "failed", "pending", "suspect"})

#: Seconds for which the links to full-size pictures in a copied page hold: a day, or as long as the credentials.
SIGNED_FOR = 86_400


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(
        epilog="Examples: restyle report RUN --open · restyle report RUN --to for-anna/"
        " · restyle report RUN --status failed > again.csv (any slice is a manifest again)"
    )(report)
    app.command(epilog="Example: restyle download RUN ./restyled --variant watercolor")(download)


def checked(statuses: list[str]) -> frozenset[str]:
    """The statuses that are chosen.

    Raises:
        ConfigurationError: one is no status.
    """
    if unknown := set(statuses) - STATUSES:
        raise ConfigurationError(f"--status {', '.join(sorted(unknown))}: use {', '.join(sorted(STATUSES))}")
    return frozenset(statuses)


def report(
    run_id: options.RunId,
    statuses: list[str] = typer.Option(
        [], "--status", help="Print only these jobs, as CSV on stdout; repeatable.", metavar="STATUS"
    ),
    marked: bool = typer.Option(
        False, "--marked", help="Print the jobs that people have marked on the dashboard, as a manifest with marks."
    ),
    open_page: bool = typer.Option(False, "--open", help="Open the page in a browser."),
    to: Path | None = typer.Option(
        None, "--to", help="Copy the page with its pictures to this folder, to send or to keep.", metavar="DIR"
    ),
    with_links: bool = typer.Option(
        False,
        "--links",
        help="With --to: lead to pictures in full size by links that S3 has signed. For a day, whoever has the folder"
        " can follow them.",
    ),
    xlsx: Path | None = typer.Option(
        None, "--xlsx", help="Write it as a workbook to this file, to mark rows in.", metavar="FILE"
    ),
    as_json: options.Json = False,
    sandbox: options.Sandbox = False,
) -> None:
    """Write a run's report (CSV, JSON, HTML), of the run so far where it has not ended; any slice is a manifest."""
    chosen = checked(statuses)
    with session(options.settings_from(sandbox=sandbox), run=run_id) as here:
        run = here.read(here.run_id)
        if chosen:
            count = slice_csv(run, here.rows(run), workspace=here.workspace, statuses=chosen, out=sys.stdout)
            say(f"{count:,} jobs", "dim")
            return
        if marked:
            standing = Marks(run.run_id, here.store, here.workspace).standing()
            count = marked_csv(run, here.rows(run), workspace=here.workspace, marks=standing, out=sys.stdout)
            say(f"{count:,} marked jobs", "dim")
            return
        if xlsx:
            from reports.sheet import write_sheet  # few reports are workbooks

            count = write_sheet(run, here.rows(run), workspace=here.workspace, file=xlsx)
            say(f"{xlsx}: {count:,} rows; mark them, and run the file again: restyle run {xlsx}")
            return
        now = here.snapshot(run)
        links = write_report(
            run, here.rows(run), workspace=here.workspace, store=here.store, snapshot=now.model_dump(mode="json")
        )
        if to:
            link = full_size(here, signed=with_links)
            with writing(to, "name another folder, or make room"):
                say(f"The page: {copy_page(run.run_id, to, store=here.store, workspace=here.workspace, link=link)}")
                if run.trial:
                    say(f"The grid: {copy_grid(run.run_id, to, store=here.store, workspace=here.workspace)}")
        if as_json:
            shown = {"csv": links.csv, "html": links.html, "json": links.json}
            print_json(now.model_dump(mode="json") | {"links": shown})
        else:
            grid = (here.workspace.run(run.run_id, GRID),) if run.trial else ()
            for uri in (*grid, links.html, links.csv, links.json):
                print(here.shown(uri))  # noqa: T201 - the data of this command, on stdout
        if open_page:
            open_report(run, here)


@contextmanager
def writing(place: Path, then: str) -> Iterator[None]:
    """Says of a place on this machine that it cannot be written.

    Raises:
        ConfigurationError: it cannot, or the disk is full.
    """
    try:
        yield
    except BrokenPipeError:  # of whoever reads what is printed
        raise
    except OSError as error:
        raise ConfigurationError(f"{place} cannot be written: {error}; {then}") from None


def open_report(run: Run, here: Session) -> None:
    """Opens the run's page in a browser, of a trial its grid: where it is a file the page itself, else a copy."""
    page = Path(here.shown(here.workspace.run(run.run_id, GRID if run.trial else "report.html")))
    if not page.is_file():
        folder = home_of(here.settings).folder(f"reports/{run.run_id}")
        page = (
            copy_grid(run.run_id, folder, store=here.store, workspace=here.workspace)
            if run.trial
            else copy_page(run.run_id, folder, store=here.store, workspace=here.workspace, link=full_size(here))
        )
    if not webbrowser.open(page.resolve().as_uri()):
        say(f"No browser could be started; the page is {page.resolve()}", "yellow")


def full_size(here: Session, *, signed: bool = True) -> Callable[[str], str]:
    """The address of a picture for a page on this machine: its file, else a link that S3 has signed for a while.

    Without signed links a page that is sent away opens nothing but what lies beside it.
    """

    def link(uri: str) -> str:
        shown = here.shown(uri)
        try:
            if shown != uri:
                return Path(shown).resolve().as_uri()
            return here.store.signed_url(uri, seconds=SIGNED_FOR) if signed else ""
        except ValueError:  # what is no s3:// URI has no address
            return ""

    return link


def download(
    run_id: options.RunId,
    directory: Path = typer.Argument(metavar="DIR", help="Folder to copy to; made where it is missing."),
    variants: list[str] = typer.Option([], "--variant", help="Only these variants; repeatable."),
    statuses: list[str] = typer.Option(
        ["succeeded", "skipped"], "--status", help="Only jobs that ended so; repeatable.", metavar="STATUS"
    ),
    only_ids: options.OnlyIds = None,
    sandbox: options.Sandbox = False,
) -> None:
    """Copy a run's outputs to a folder; only what is new."""
    ids = options.read_ids(only_ids)
    with session(options.settings_from(sandbox=sandbox), run=run_id) as here:
        run = here.read(here.run_id)
        counts: dict[str, int] = {}
        anew: dict[str, int] = {}
        selection = Selection(checked(statuses), _of_the_run(variants, here.rows(run)), ids)
        rows, unknown = _noting(here.rows(run), ids)
        with writing(directory, "what was copied stays, and another download goes on from there"):
            for copied in copy_outputs(run, rows, directory, store=here.store, selection=selection):
                counts[copied.state] = counts.get(copied.state, 0) + 1
                if copied.made_since:
                    anew[copied.made_since] = anew.get(copied.made_since, 0) + 1
                if copied.state in {"missing", "refused"}:
                    say(f"{copied.state}: {copied.reason}", "yellow")
    print(directory)  # noqa: T201 - the datum of this command, on stdout
    if counts.get("suspect"):
        say("Suspect pictures were left out; to have them too, add --status suspect", "yellow")
    for other, count in sorted(anew.items()):
        say(
            f"{count:,} were made anew since by run {other}; those of this run are in the workspace's replaced/",
            "yellow",
        )
    say(" · ".join(f"{count:,} {state}" for state, count in counts.items()) or "nothing to copy")
    for warning in unknown_ids_warning(unknown, f"run {run.run_id}"):
        say(f"warning: {warning}", "yellow")
    if counts.get("missing") or counts.get("refused") or unknown:
        sys.exit(SOME_FAILED)


def _of_the_run(variants: list[str], rows: Rows) -> frozenset[str] | None:
    """The variants that are chosen; None where all are.

    Raises:
        ConfigurationError: the run has no such variant.
    """
    if not variants:
        return None
    unknown, there = set(variants), set[str]()
    for job, _ in rows():
        there.add(job.variant)
        unknown.discard(job.variant)
        if not unknown:
            return frozenset(variants)
    raise ConfigurationError(
        f"--variant {', '.join(sorted(unknown))}: the run has {', '.join(sorted(there)[:20]) or 'none'}"
    )


def _noting(rows: Rows, ids: Collection[str] | None) -> tuple[Rows, set[str]]:
    """The rows, and those of the ids that were not among them yet."""
    unknown = set(ids or ())

    def noted() -> Iterator[Row]:
        for job, outcome in rows():
            unknown.discard(job.id)
            yield job, outcome

    return noted, unknown
