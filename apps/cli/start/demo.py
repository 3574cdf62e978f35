"""sandbox, demo: trying restyle without an account."""

from __future__ import annotations

import shutil
import sys
from importlib import resources
from pathlib import Path

import typer

from apps.cli import options
from apps.cli.processes.dashboard import beside
from apps.cli.results.reports import open_report
from apps.cli.runs import follow
from apps.cli.start.manifests import begin
from apps.cli.start.planning import open_plan
from apps.session import session
from apps.terminal.console import say


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Example: restyle sandbox --port 8000 --credits 5 --latency 2")(sandbox)
    app.command()(demo)


def demo(
    concurrency: int = typer.Option(8, help="Calls in flight.", metavar="N", min=1),
    open_page: bool = typer.Option(False, "--open", help="Open the report in a browser."),
    dashboard: options.Dashboard = False,
) -> None:
    """Restyle a small example catalog with the sandbox: a real queue, a real S3 server, made-up pictures."""
    examples = examples_folder()
    say(
        "A demo: 12 product pictures in 3 styles, through a real queue and a real S3 server, with a sandbox of the API."
    )
    settings = options.settings_from(sandbox=True, concurrency=concurrency)
    request = options.request_from(
        str(examples / "catalog.csv"), variants=str(examples / "variants.json"), overwrite=True
    )
    with session(settings, worker=True) as here, beside(settings, is_shown=dashboard) as page:
        plan = open_plan(request, settings, here)
        run = begin(request, plan, here, yes=True, new=False, detach=False)
        code = follow.to_the_end(run, here, as_json=False)
        if open_page:
            open_report(run, here)
        page.stay(code)
    first = activation(Path(sys.prefix, "bin", "activate"))
    say(
        f"Next: put your own pictures in a folder and type: {first}restyle run FOLDER/ --prompt 'watercolor' --sandbox",
        "bold",
    )
    sys.exit(code)


def activation(script: Path) -> str:
    """What to type before `restyle` where the shell does not know the command yet, as after `make demo`."""
    if shutil.which("restyle") or not script.exists():
        return ""
    here = Path.cwd()
    return f". {script.relative_to(here) if script.is_relative_to(here) else script} && "


def examples_folder() -> Path:
    """The example catalog: beside the packages in a checkout, among them in an installed wheel."""
    packages = Path(str(resources.files("apps")))
    inside = packages / "examples"
    return inside if inside.exists() else packages.parent / "examples"


def sandbox(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(8000, help="Port to listen on; 0: any free one.", min=0, max=65535),
    credits: float = typer.Option(100.0, help="Credits on the account.", min=0),
    price: float = typer.Option(0.02, help="Credits a sample of 30 steps.", min=0),
    latency: float = typer.Option(1.0, help="Seconds a call takes.", min=0),
    api_key: str | None = typer.Option(
        None, help="The one good key; without it any key is good.", envvar="SANDBOX_API_KEY"
    ),
    rpm: int = typer.Option(0, help="Calls a minute it allows; 0: no limit.", min=0),
    fault: list[str] = typer.Option([], help="Fault and rate, e.g. --fault 500=0.1; repeatable.", metavar="NAME=RATE"),
) -> None:
    """Serve the sandbox of the API: same contract, real image transforms, no cost."""
    from apps.cli.processes.sandbox_server import sandbox_options, serve_sandbox

    behaviour = sandbox_options(
        credits=credits, price=price, latency=latency, api_key=api_key, rpm=rpm, faults=fault
    )  # fmt: skip
    serve_sandbox(host, port, behaviour)
