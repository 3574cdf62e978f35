"""`restyle dashboard`: serves the live page in this process and says where it is; and the same beside a run."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from apps.cli import options
from apps.session import is_embedded
from apps.terminal.console import say
from apps.terminal.exits import INTERRUPTED, TERMINATED
from apps.terminal.signals import terminable
from config.connections import who
from config.settings import Settings
from restyle.errors import ConfigurationError

if TYPE_CHECKING:
    from apps.dashboard.access.identity import Access

LOOPBACK = "127.0.0.1"
PORT = 8600


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: restyle dashboard --open · RESTYLE_DASHBOARD_TOKEN=… restyle dashboard --host 0.0.0.0"
    )(dashboard)


def dashboard(
    host: str = typer.Option(LOOPBACK, help="Address to listen on; any but loopback needs RESTYLE_DASHBOARD_TOKEN."),
    port: int = typer.Option(PORT, help="Port to listen on; 0: any free one.", min=0, max=65535),
    allow_host: list[str] = typer.Option(
        [], help="A further name that browsers reach it by, as behind a proxy; repeatable.", metavar="NAME"
    ),
    open_page: bool = typer.Option(False, "--open", help="Open it in a browser."),
    worker: bool = typer.Option(
        False, "--worker", help="Have a worker here too, where there is no fleet: runs that begin on the page are done."
    ),
    sandbox: options.Sandbox = False,
) -> None:
    """Serve a live page of the runs and the fleet, with buttons to suspend, resume, cancel and retry."""
    from apps.dashboard.access.identity import check_access
    from apps.dashboard.access.security import own_names
    from apps.dashboard.live import Live
    from apps.dashboard.server import make_server

    settings = options.settings_from(sandbox=sandbox)
    access, names = access_of(settings), own_names(host, allow_host, settings.dashboard_url)
    check_access(host, access)

    def ready(taken: int) -> None:
        shown = {"0.0.0.0": LOOPBACK, "::": "[::1]", "::1": "[::1]"}.get(host, host)  # noqa: S104 - only compared
        url = f"http://{shown}:{taken}/"
        say(f"The dashboard is at {url}  (Ctrl-C ends it)", "bold")
        if open_page:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    live = Live(settings, worker=worker and is_embedded(settings))
    live.open()
    try:
        server = make_server(live, access, names, host, port, ready)
        asyncio.run(server.serve())
        if not server.started:
            raise ConfigurationError(
                f"{host}:{port} cannot be listened on; choose another --port, or 0 for any free one"
            )
    except KeyboardInterrupt:
        return
    finally:
        live.close()


def access_of(settings: Settings) -> Access:
    """Who is let in, by these settings.

    Raises:
        ConfigurationError: a proxy is trusted, and its addresses are not named.
    """
    from apps.dashboard.access.identity import Access, read_proxy

    tokens = (settings.dashboard_token, settings.dashboard_view_token)
    token, view_token = (secret.get_secret_value() if secret else None for secret in tokens)
    proxy = read_proxy(settings.dashboard_trust, settings.dashboard_proxies, settings.dashboard_actors)
    is_secure = (settings.dashboard_url or "").startswith("https:")
    return Access(who(), token, view_token, proxy, is_secure)


class Page:
    """A dashboard beside a command; one that is not shown does nothing."""

    def __init__(self, url: str = "") -> None:
        self.url = url

    def stay(self, code: int) -> None:
        """On a terminal, leaves the page up after the run's end until Ctrl-C, so that it can be looked at."""
        if not self.url or code in {INTERRUPTED, TERMINATED} or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return
        say(f"The dashboard stays at {self.url}  (Ctrl-C ends it)", "bold")
        try:
            with terminable():
                threading.Event().wait()
        except KeyboardInterrupt:
            say("")


@contextmanager
def beside(settings: Settings, *, is_shown: bool) -> Iterator[Page]:
    """Serves the page of these settings on loopback, in a thread, for as long as this lasts.

    Raises:
        ConfigurationError: RESTYLE_DASHBOARD_TOKEN is too short.
    """
    if not is_shown:
        yield Page()
        return
    from apps.dashboard.access.identity import check_access
    from apps.dashboard.access.security import own_names
    from apps.dashboard.live import Live
    from apps.dashboard.server import make_server

    access, ports, ready = access_of(settings), list[int](), threading.Event()
    check_access(LOOPBACK, access)

    def on_ready(port: int) -> None:
        ports.append(port)
        ready.set()

    live = Live(settings)
    live.open()
    names = own_names(LOOPBACK, (), settings.dashboard_url)
    server = make_server(live, access, names, LOOPBACK, PORT if is_free(PORT) else 0, on_ready)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="dashboard", daemon=True)
    thread.start()
    try:
        ready.wait(10)
        url = f"http://{LOOPBACK}:{ports[0]}/" if ports else ""
        say(f"The dashboard is at {url}" if url else "The dashboard did not start; the run goes on without it", "bold")
        yield Page(url)
    finally:
        server.should_exit = True
        thread.join(5)
        live.close()


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
