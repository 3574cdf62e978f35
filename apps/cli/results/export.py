"""export: a run's outputs in the rows of its manifest, to be imported where they came from."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from apps.cli import options
from apps.session import session
from apps.terminal.console import say
from producers.manifest import ReadOptions, open_manifest
from producers.runs.review.marks import Marks
from reports.export import LIKES, Outputs, export, read_marks
from restyle.errors import ConfigurationError
from restyle.models import Job


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        name="export",
        epilog="Example: restyle export RUN --like shopify --public https://cdn.example.com/ > import.csv",
    )(export_run)


def export_run(
    run_id: options.RunId,
    like: str = typer.Option("csv", "--like", help="Form: csv, shopify, woocommerce, merchant.", metavar="FORM"),
    public: str = typer.Option("", "--public", help="Address of the outputs' prefix on the web.", metavar="URL"),
    variant: str = typer.Option("", "--variant", help="Whose pictures, where the run has several variants."),
    marks: Path | None = typer.Option(
        None,
        "--marks",
        help="Marks saved from a page, not the dashboard's: what is rejected stays out.",
        metavar="FILE",
    ),
    manifest: str = typer.Option("", "--manifest", help="The manifest, where it lies elsewhere now.", metavar="FILE"),
    column: options.Column = None,
    sheet: options.Sheet = "",
    items: options.Items = "",
    feed: options.Feed = "",
    id_template: options.IdTemplate = "",
    namespace: options.Namespace = "",
    sandbox: options.Sandbox = False,
) -> None:
    """Print the manifest's rows with a run's pictures in them, to import where they came from."""
    if like not in LIKES:
        raise ConfigurationError(f"--like {like}: use {', '.join(LIKES)}")
    taken_back = read_marks(marks)
    with session(options.settings_from(sandbox=sandbox), run=run_id) as here:
        run = here.read(here.run_id)
        uri = manifest or run.manifest.uri
        if uri == "-":
            raise ConfigurationError("the manifest came through a pipe: give the file by --manifest FILE")
        how = ReadOptions(
            options.pairs(column, "--column"), sheet, items, feed, id=id_template, namespace=namespace,
            workspace=here.workspace.uri, has_pictures=False,
        )  # fmt: skip
        opened = open_manifest(uri, store=here.store, options=how)
        if opened.sha256() != run.manifest.sha256:
            say(f"{uri} has changed since the run: rows are matched by their ids", "yellow")
        # Without a file of marks, those that people have set on the dashboard count.
        standing = {} if marks else Marks(run.run_id, here.store, here.workspace).standing()

        def reviewed(job: Job) -> str:
            mark = standing.get(here.workspace.job_id(job.id, job.variant)) if standing else None
            return mark.mark if mark else ""

        outputs = Outputs(run, here.rows(run), variant, public, taken_back, reviewed)
        done = export(opened, outputs, like, sys.stdout)
    left_out = "".join(f" · {count:,} {why}" for why, count in done.left_out.items())
    say(f"{done.rows:,} rows with {done.pictures:,} pictures{left_out}")
