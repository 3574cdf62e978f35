"""withdraw: pictures that reviewers have rejected leave what is published."""

from __future__ import annotations

import sys

import typer

from apps.cli import options
from apps.session import session
from apps.terminal.console import print_json, say
from apps.terminal.exits import SOME_FAILED
from apps.withdrawing import follow_marks, in_words
from config.connections import who
from producers.runs.review.withdrawal import Move

#: What is neither done nor in order already.
_LEFT = frozenset({Move.BUSY, Move.FOREIGN, Move.GONE})


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Mark pictures in the dashboard's review, then: restyle withdraw RUN")(withdraw)


def withdraw(run_id: options.RunId, sandbox: options.Sandbox = False, as_json: options.Json = False) -> None:
    """Move a run's pictures that are marked reject aside, and those marked keep again back; nothing is paid for."""
    with session(options.settings_from(sandbox=sandbox), run=run_id, holds=True) as here:
        moves = follow_marks(here, here.read(here.run_id), who())
    if as_json:
        print_json({move.name.lower(): moves[move] for move in Move})
    else:
        say(f"{in_words(moves) or 'Nothing is marked reject or keep'}.")
    sys.exit(SOME_FAILED if any(moves[move] for move in _LEFT) else 0)
