"""The `restyle` command: parses, calls, prints, exits. One module a command group; no logic of its own."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import typer

from apps.cli.commands import MARKUP, Commands, Interrupted
from apps.terminal import streams
from restyle.errors import ConfigurationError, RestyleError
from restyle.runtime import core_dumps

# Most of what a command makes is its libraries, which stay: Python's looks for garbage among them would be a twelfth of
# a short command's CPU.
gc.set_threshold(250_000, 10, 10)

app = typer.Typer(
    name="restyle",
    cls=Commands,
    help="Restyle large catalogs of product images by prompt: pay once, lose nothing, stop as one.",
    epilog=(
        "Try it without an account: restyle demo. "
        "Go live: set RESTYLE_API_KEY, then restyle run manifest.csv --variants variants.json"
    ),
    no_args_is_help=True,
    rich_markup_mode=MARKUP,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(is_given: bool) -> None:
    """Prints the version, which pyproject.toml alone says, and ends."""
    if is_given:
        from importlib.metadata import version

        typer.echo(f"restyle {version('catalog-restyle')}")
        raise typer.Exit


@app.callback()
def before_a_command(
    _version: bool = typer.Option(False, "--version", help="Print the version.", callback=print_version, is_eager=True),
) -> None:
    """What stands before a command."""


def check_folder() -> None:
    """Raises ConfigurationError where the current folder is gone, or may not be looked at: all paths begin there."""
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigurationError(
            f"the folder that you are in cannot be entered any more ({error.strerror}): change to another one"
        ) from None


def main() -> None:
    """The console script: every error of ours becomes a sentence and an exit code, never a traceback."""
    core_dumps.write_none()
    streams.prepare()
    try:
        check_folder()
        app()
    except (RestyleError, Interrupted, KeyboardInterrupt) as caught:
        # Imported at need: few commands end so, and `restyle --help` waits for neither.
        from apps.terminal.console import fail
        from apps.terminal.exits import exit_code

        error = caught.cause if isinstance(caught, Interrupted) else caught
        fail(error.message if isinstance(error, RestyleError) else getattr(error, "why", "interrupted"))
        for note in getattr(error, "__notes__", ()):
            fail(note)
        if advice := getattr(error, "next", ""):
            fail(f"next: {advice}")
        sys.exit(exit_code(error))
    except OSError as error:
        if error.errno not in streams.FULL:
            raise
        from apps.terminal.console import fail
        from apps.terminal.exits import WRONG_INPUT

        streams.forget_output()
        fail(
            f"{error.filename or 'what this prints'} cannot be written: {error.strerror}; make room, and type it again"
        )
        sys.exit(WRONG_INPUT)
    finally:
        # What is left ends with the process: a last look for garbage among it would take a tenth of a second.
        gc.freeze()
