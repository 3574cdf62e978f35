"""How help is laid out: commands and options by what they are about, and the options that every command has."""

from __future__ import annotations

from typing import Any

import typer
import typer.main

#: The commands of `restyle --help`.
COMMANDS = {
    "Restyle": ("run", "plan", "try", "submit", "demo"),
    "See how it goes": ("status", "watch", "runs", "show", "dashboard", "costs"),
    "Steer runs": ("suspend", "resume", "approve", "reject", "cancel", "retry"),
    "Results": ("report", "download", "export", "withdraw", "prune", "audit", "reconcile"),
    "Schedules": ("schedules", "beat"),
    "Processes and settings": ("worker", "stop", "sandbox", "doctor", "config"),
}

#: Options by the names of their parameters; what is nowhere here stands in a box of its own.
OPTIONS = {
    "Which pictures": ("limit", "sample", "entries", "only_ids", "skip_invalid", "overwrite", "new_seed", "no_reuse",
                       "verify_outputs", "refetch", "new", "check_inputs", "diff"),
    "How the manifest is read": ("column", "sheet", "items", "feed", "images", "id_template", "namespace"),
    "What is made of them": ("variants", "prompt", "prompts", "axis", "seeds", "sets", "max_side"),
    "What comes out": ("output", "form", "quality", "naming", "mark", "no_mark", "no_gates", "download"),
    "Limits": ("budget", "max_duration", "then_ask", "priority", "max_rpm", "max_outage", "max_failures",
               "max_suspects", "wait_credits"),
    "This run": ("name", "labels", "sandbox", "api", "concurrency", "detach", "dashboard", "open_page", "yes"),
    "What is said": ("as_json", "quiet", "verbose"),
}  # fmt: skip
#: Options from which on a command's help has boxes.
MANY = 12


def panel_of(name: str, panels: dict[str, tuple[str, ...]]) -> str | None:
    """The box that a command or an option stands in."""
    return next((panel for panel, names in panels.items() if name in names), None)


def lay_out(command: Any) -> None:
    """Gives a command the options that each has, and puts many options into boxes."""
    for below in getattr(command, "commands", {}).values():
        lay_out(below)
    command.params += [param for param in _talking() if not {*param.opts} & _taken(command)]
    if len(command.params) > MANY:
        for param in command.params:
            if param.param_type_name == "option":
                param.rich_help_panel = panel_of(param.name, OPTIONS)


def _taken(command: Any) -> set[str]:
    """How a command's own options are written."""
    return {written for param in command.params for written in param.opts}


def _talking() -> list[Any]:
    """`--quiet` and `--verbose`, made anew: each belongs to one command."""
    group = typer.Typer(add_completion=False)

    @group.command()
    def any_command(
        quiet: bool = typer.Option(
            False, "--quiet", "-q", help="Say only what went wrong, or needs you.", callback=_quiet
        ),
        verbose: bool = typer.Option(
            False,
            "--verbose",
            "-v",
            help="Say where settings and workspace are, and more often how it goes.",
            callback=_verbose,
        ),
    ) -> None:
        """Holds them."""

    params = [param for param in typer.main.get_command(group).params if param.name in {"quiet", "verbose"}]
    for param in params:
        param.expose_value = False
    return params


def _quiet(given: bool) -> None:
    if given:
        from apps.terminal.console import hush  # few commands are quiet

        hush()


def _verbose(given: bool) -> None:
    if given:
        from apps.terminal.console import speak_up

        speak_up()
