"""The `restyle` command: parses, calls, prints, exits. One module a command group; no logic of its own."""

from __future__ import annotations

import sys
from importlib.metadata import version

import typer

from apps.cli import dashboard, fleet, manifests, prune, reports, runs, schedules, show, trial
from apps.cli.console import fail
from apps.cli.exits import exit_code
from restyle.errors import RestyleError

app = typer.Typer(
    name="restyle",
    help="Restyle large catalogs of product images by prompt: pay once, lose nothing, stop as one.",
    epilog=(
        "Try it without an account: restyle demo. "
        "Go live: set RESTYLE_API_KEY, then restyle run manifest.csv --variants variants.json"
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def told_version(wanted: bool) -> None:
    """Prints the version, which pyproject.toml alone says, and ends."""
    if wanted:
        typer.echo(f"restyle {version('catalog-restyle')}")
        raise typer.Exit


@app.callback()
def options(
    _version: bool = typer.Option(False, "--version", help="Print the version.", callback=told_version, is_eager=True),
) -> None:
    """What stands before a command."""


for group in (manifests, runs, show, schedules, reports, prune, fleet, trial, dashboard):
    group.add_to(app)


def main() -> None:
    """The console script: every error of ours becomes a sentence and an exit code, never a traceback."""
    try:
        app()
    except RestyleError as error:
        fail(error.message)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        fail("interrupted")
        sys.exit(130)
