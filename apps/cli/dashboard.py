"""`restyle dashboard`: serves the live page in this process and says where it is."""

from __future__ import annotations

import asyncio
import threading
import webbrowser

import typer

from apps.cli import options
from apps.cli.console import say
from apps.cli.session import who
from restyle.errors import ConfigurationError


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: restyle dashboard --open · RESTYLE_DASHBOARD_TOKEN=… restyle dashboard --host 0.0.0.0"
    )(dashboard)


def dashboard(
    host: str = typer.Option("127.0.0.1", help="Address to listen on; any but loopback needs RESTYLE_DASHBOARD_TOKEN."),
    port: int = typer.Option(8600, help="Port to listen on; 0: any free one.", min=0, max=65535),
    allow_host: list[str] = typer.Option(
        [], help="A further name that browsers reach it by, as behind a proxy; repeatable.", metavar="NAME"
    ),
    open_page: bool = typer.Option(False, "--open", help="Open it in a browser."),
    sandbox: options.Sandbox = False,
) -> None:
    """Serve a live page of the runs and the fleet, with buttons to suspend, resume, cancel and retry."""
    from apps.dashboard.live import Live
    from apps.dashboard.security import Doorkeeper, check_token, own_names
    from apps.dashboard.server import make_server

    settings = options.settings_from(sandbox=sandbox)
    token = settings.dashboard_token.get_secret_value() if settings.dashboard_token else None
    check_token(host, token)

    def ready(taken: int) -> None:
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)  # noqa: S104 - only compared
        url = f"http://{shown}:{taken}/"
        say(f"The dashboard is at {url}  (Ctrl-C ends it)", "bold")
        if open_page:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    live = Live(settings)
    live.open()
    try:
        server = make_server(live, Doorkeeper(token, who(), own_names(host, allow_host)), host, port, ready)
        asyncio.run(server.serve())
        if not server.started:
            raise ConfigurationError(
                f"{host}:{port} cannot be listened on; choose another --port, or 0 for any free one"
            )
    except KeyboardInterrupt:
        return
    finally:
        live.close()
