"""worker, stop, doctor, config: commands about the processes rather than the runs."""

from __future__ import annotations

import os
import sys

import typer
from pydantic import SecretStr
from rich.table import Table

from apps.cli import options
from apps.cli.processes.checks import examine
from apps.session import is_embedded
from apps.stack import environments, local, servers
from apps.terminal.console import out, print_json, say
from config.settings import Settings
from restyle.errors import ConfigurationError, RestyleError


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Example: RESTYLE_REDIS_URL=… RESTYLE_WORKSPACE=s3://… RESTYLE_API_KEY=… restyle worker")(worker)
    app.command()(stop)
    app.command()(doctor)
    app.command()(config)


def worker(
    concurrency: options.Concurrency = None,
    processes: options.Processes = None,
    api: options.Api = None,
    max_rpm: options.MaxRpm = None,
    sandbox: options.Sandbox = False,
) -> None:
    """Run a worker of the fleet until it is told to stop (Ctrl-C or SIGTERM drain it)."""
    settings = options.settings_from(
        concurrency=concurrency, processes=processes, api=api, max_rpm=max_rpm, sandbox=sandbox
    )
    if is_embedded(settings):
        raise ConfigurationError(
            "a worker belongs to a fleet: set RESTYLE_REDIS_URL and RESTYLE_WORKSPACE. `restyle run` brings its own"
        )
    command = servers.worker_command(settings)
    os.execve(sys.executable, command, environments.of_worker(settings))  # noqa: S606 - becomes the worker


def stop() -> None:
    """Stop the embedded stack that `restyle run --detach` left up; calls in flight end first."""
    settings = options.settings_from()
    ended, left = local.stop(settings, timeout=settings.api_timeout + 30, say=say)
    if left:
        raise RestyleError(f"{', '.join(left)} of {settings.home} did not end; look at {settings.home / 'logs'}")
    say("Stopped." if ended else f"Nothing is running in {settings.home}.")


def doctor(sandbox: options.Sandbox = False, as_json: options.Json = False) -> None:
    """Check Redis, S3, the API key and the clock; spends nothing, and says what to do about each fault."""
    findings = examine(options.settings_from(sandbox=sandbox))
    if as_json:
        print_json({"checks": [finding.__dict__ for finding in findings]})
    else:
        table = Table.grid(padding=(0, 2))
        for finding in findings:
            mark = "[green]ok[/]" if finding.ok else "[bold red]fault[/]"
            table.add_row(mark, f"[bold]{finding.name}[/]", finding.detail)
            if finding.advice:
                table.add_row("", "", f"[yellow]{finding.advice}[/]")
        out.print(table)
    sys.exit(0 if all(finding.ok for finding in findings) else 3)


def config(
    changed: bool = typer.Option(False, "--changed", help="Only settings that are not left at their defaults."),
    as_json: options.Json = False,
) -> None:
    """Print every setting with where it comes from; secrets are masked."""
    settings = options.settings_from()
    listed = [name for name in names() if not changed or settings.source(name) != "default"]
    if as_json:
        print_json({name: {"value": shown(settings, name), "source": settings.source(name)} for name in listed})
        return
    if not listed:
        say("Every setting has its default.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("setting", "value", "source"):
        table.add_column(title, overflow="fold")
    for name in listed:
        source = settings.source(name)
        table.add_row(name, str(shown(settings, name)), source, style="" if source != "default" else "dim")
    out.print(table)


def names() -> list[str]:
    """The settings that people set."""
    return [name for name in Settings.model_fields if not name.startswith("local_")]


def shown(settings: Settings, name: str) -> object:
    """A setting's value as it may be seen."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return "***"
    return value if isinstance(value, bool | int | float | str | type(None)) else str(value)
