"""A process's health endpoints: /healthz (it runs), /readyz (Redis takes writes, S3 answers), /metrics (Prometheus).

Off unless RESTYLE_HEALTH_ADDRESS names a HOST:PORT. A suspended fleet is ready: it does what it should. The server has
threads of its own, so that a busy worker answers too.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import REGISTRY, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from config.address import Address
from restyle.coordination.redis.client import State
from restyle.errors import ConfigurationError, RestyleError
from restyle.keys import Workspace
from restyle.s3.store import Store

log = structlog.get_logger("restyle.health")

#: Raises a RestyleError that says what is wrong.
Check = Callable[[], object]

#: Seconds for which the result of a check of S3 is kept, so that probes cost next to nothing.
CHECK_HOLDS = 5.0


class Health:
    """The endpoints of one process."""

    def __init__(self, address: Address, *, lives: Check, ready: Mapping[str, Check], gauges: Collector) -> None:
        """Binds the address, so that an address in use is an error at the start; serves nothing yet.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        self._lives, self._ready = lives, ready
        try:
            self._server: WSGIServer = make_server(
                address.host, address.port, self._answer, ThreadingWSGIServer, handler_class=_Quiet
            )
        except OSError as error:
            raise ConfigurationError(f"RESTYLE_HEALTH_ADDRESS: {address} cannot be listened on: {error}") from None
        self.address = Address(address.host, self._server.server_port)
        REGISTRY.register(gauges)
        self._metrics = make_wsgi_app(REGISTRY)

    def start(self) -> None:
        """Serves from a thread that ends with the process."""
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        log.info("health is served", address=str(self.address), paths="/healthz /readyz /metrics")

    def _answer(self, environ: dict[str, object], respond: Callable[..., object]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                page: Iterable[bytes] = self._metrics(environ, respond)
                return page
            case "/healthz":
                status, body = examine({"process": self._lives})
            case "/readyz":
                status, body = examine(self._ready)
            case _:
                status, body = 404, {"paths": "/healthz /readyz /metrics"}
        phrase = {200: "200 OK", 404: "404 Not Found", 503: "503 Service Unavailable"}[status]
        respond(phrase, [("content-type", "application/json"), ("cache-control", "no-store")])
        return [json.dumps(body).encode() + b"\n"]


def examine(checks: Mapping[str, Check]) -> tuple[int, dict[str, str]]:
    """Runs the checks: an HTTP status, 200 where all pass, else 503; and each check with `ok` or its error."""
    results = {}
    for name, check in checks.items():
        try:
            check()
            results[name] = "ok"
        except RestyleError as error:
            results[name] = error.message
    return (200 if set(results.values()) <= {"ok"} else 503), results


def connection_checks(state: State, store: Store, workspace: Workspace) -> dict[str, Check]:
    """The checks that Redis takes writes, and that S3 answers."""
    uri = workspace.under("runs", "ready")
    return {"redis": state.check_writes, "s3": _Held(lambda: store.head(uri))}


class _Held:
    """A check whose result is kept for some seconds; it runs once at a time, however many callers there are."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._checked = -CHECK_HOLDS
        self._error: RestyleError | None = RestyleError("not checked yet")

    def __call__(self) -> None:
        """Raises the error of the last check, if there was one."""
        if time.monotonic() - self._checked >= CHECK_HOLDS and self._lock.acquire(blocking=False):
            try:
                self._check()
                self._error = None
            except RestyleError as error:
                self._error = error
            finally:
                self._checked = time.monotonic()
                self._lock.release()
        if self._error is not None:
            raise self._error


class _Quiet(WSGIRequestHandler):
    """Logs no request: probes and scrapes come all the time."""

    #: Seconds after which a silent connection is closed.
    timeout = 10

    def log_message(self, *_: object) -> None:
        """Nothing."""
