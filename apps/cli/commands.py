"""The commands of `restyle`, each with its module, which is imported when the command is typed and not before.

So `restyle --help`, a name that does not exist, and the completion of names load no module of a command, and a command
loads its own alone. tests/unit/test_house.py holds the table to what the modules say.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from apps.cli import panels
from apps.cli.panels import lay_out, panel_of
from restyle.errors import ConfigurationError

#: How help is written; of the whole, and so of every command.
MARKUP: Any = "rich"

#: In the order of `restyle --help`: its module in apps/cli, and its docstring.
COMMANDS = {
    "run": ("start.manifests", "Restyle every image of a manifest: plan, call, store, report."),
    "plan": ("start.estimates", "Check a manifest and estimate its cost; spends nothing, uploads nothing."),
    "try": (
        "start.trials",
        "Try prompts and parameters on a few pictures, side by side in one grid; what it pays for, a run reuses.",
    ),
    "submit": ("start.manifests", "Hand a manifest to a running fleet and print the run's id."),
    "status": ("runs.status", "Show the fleet and every unfinished run, or one run."),
    "watch": ("runs.control", "Follow a run to its end without touching it."),
    "runs": ("runs.status", "List the runs of the workspace, newest first."),
    "costs": (
        "money.costs",
        "Sum up what runs have cost, from what S3 keeps of them; what may have been billed stands apart.",
    ),
    "suspend": (
        "runs.control",
        "Stop the fleet, or one run, before its next call; calls in flight end and are stored.",
    ),
    "resume": ("runs.control", "Go on after a suspension: the fleet, or one run, exactly where it stopped."),
    "approve": ("runs.control", "Let the rest of a run follow its sample; the sample is not repeated."),
    "reject": ("runs.control", "End a run after its sample; what is done stays done."),
    "cancel": ("runs.control", "End a run: calls in flight end and are stored, the rest stays undone."),
    "retry": ("runs.control", "Run the failed jobs of a run again, as they were planned, in a new run."),
    "show": (
        "results.show",
        "Tell the story of a job: how it ended in each run, its calls and times, its record, and its picture.",
    ),
    "beat": (
        "runs.schedules",
        "Start the runs of restyle.toml's schedules when they are due, until told to stop; any number may run at once.",
    ),
    "report": (
        "results.reports",
        "Write a run's report (CSV, JSON, HTML), of the run so far where it has not ended; any slice is a manifest.",
    ),
    "export": (
        "results.export",
        "Print the manifest's rows with a run's pictures in them, to import where they came from.",
    ),
    "download": ("results.reports", "Copy a run's outputs to a folder; only what is new."),
    "withdraw": (
        "results.withdraw",
        "Move a run's pictures that are marked reject aside, and those marked keep again back; nothing is paid for.",
    ),
    "prune": (
        "results.prune",
        "Remove plans and results of old runs; never outputs, records, inputs, reports, nor the last run of a manifest.",  # noqa: E501 - as it stands there
    ),
    "audit": (
        "results.audit",
        "Look for records without pictures, pictures without records, and entries of the index that lead nowhere.",
    ),
    "reconcile": (
        "money.reconcile",
        "Compare the account's history with the records: what was billed and is not here, and the other way round.",
    ),
    "worker": ("processes.fleet", "Run a worker of the fleet until it is told to stop (Ctrl-C or SIGTERM drain it)."),
    "stop": (
        "processes.fleet",
        "Stop the embedded stack that `restyle run --detach` left up; calls in flight end first.",
    ),
    "doctor": (
        "processes.fleet",
        "Check Redis, S3, the API key and the clock; spends nothing, and says what to do about each fault.",
    ),
    "config": ("processes.fleet", "Print every setting with where it comes from; secrets are masked."),
    "sandbox": ("start.demo", "Serve the sandbox of the API: same contract, real image transforms, no cost."),
    "demo": (
        "start.demo",
        "Restyle a small example catalog with the sandbox: a real queue, a real S3 server, made-up pictures.",
    ),
    "dashboard": (
        "processes.dashboard",
        "Serve a live page of the runs and the fleet, with buttons to suspend, resume, cancel and retry.",
    ),
    "schedules": ("runs.schedules", "List the schedules; check or fire one."),
}


class Interrupted(Exception):
    """A command was stopped by a signal, which `cause` names; Typer would end it with 130 and no message."""

    def __init__(self, cause: KeyboardInterrupt) -> None:
        super().__init__("interrupted")
        self.cause = cause


class Commands(TyperGroup):
    """The commands by name, as help and completion need them; the one that is typed takes its own's place."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name, (_module, words) in COMMANDS.items():
            panel = panel_of(name, panels.COMMANDS)
            command = TyperCommand(name, help=words, rich_markup_mode=self.rich_markup_mode, rich_help_panel=panel)
            self.add_command(command)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was typed.

        Raises:
            Interrupted: a signal stopped it.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Interrupted(stop) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the words begin with, from its module, and the words behind its name."""
        name, command, rest = super().resolve_command(ctx, args)
        refuse_empty(rest)
        return name, load(name) if name and command else command, rest


def refuse_empty(words: Sequence[str]) -> None:
    """Refuses words with nothing in them: most often a variable of the shell that is not set.

    An empty manifest would be the current folder, and an empty `--namespace` none.

    Raises:
        ConfigurationError: there is one; the message names the option before it.
    """
    for place, word in enumerate(words):
        if word == "--":
            return
        option, sign, value = word.partition("=")
        if not word.strip():
            before = words[place - 1] if place else ""
            empty = before if before.startswith("-") else f"argument {place + 1}"
        elif option.startswith("--") and sign and not value.strip():
            empty = option
        else:
            continue
        raise ConfigurationError(f"{empty} is empty; is a variable of your shell not set?")


def load(name: str) -> Any:
    """A command as its module has it."""
    module, _help = COMMANDS[name]
    group = typer.Typer(rich_markup_mode=MARKUP)
    import_module(f"apps.cli.{module}").add_to(group)
    command = typer.main.get_group(group).commands[name]
    lay_out(command)
    return command
