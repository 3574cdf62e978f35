"""What the outside asks a process: /healthz (it runs), /readyz (Redis takes writes, S3 answers), /metrics (Prometheus).

Off unless RESTYLE_HEALTH_ADDRESS names a HOST:PORT. A suspended fleet is ready: it does what it should. Answers come
from threads of their own, so that a busy worker answers too.
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

#: Seconds for which a look at S3 holds, so that probes cost next to nothing.
LOOK_HOLDS = 5.0


class Health:
    """The answers of one process."""

    def __init__(self, address: Address, *, lives: Check, ready: Mapping[str, Check], gauges: Collector) -> None:
        """Takes the address, so that a taken one is told at the start; serves nothing yet.

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
        log.info("health is told", address=str(self.address), paths="/healthz /readyz /metrics")

    def _answer(self, environ: dict[str, object], respond: Callable[..., object]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                found: Iterable[bytes] = self._metrics(environ, respond)
                return found
            case "/healthz":
                status, told = examine({"process": self._lives})
            case "/readyz":
                status, told = examine(self._ready)
            case _:
                status, told = 404, {"paths": "/healthz /readyz /metrics"}
        phrase = {200: "200 OK", 404: "404 Not Found", 503: "503 Service Unavailable"}[status]
        respond(phrase, [("content-type", "application/json"), ("cache-control", "no-store")])
        return [json.dumps(told).encode() + b"\n"]


def examine(checks: Mapping[str, Check]) -> tuple[int, dict[str, str]]:
    """Each part with `ok` or what is wrong with it; the status is 200 where all are well, else 503."""
    told = {}
    for name, check in checks.items():
        try:
            check()
            told[name] = "ok"
        except RestyleError as error:
            told[name] = error.message
    return (200 if set(told.values()) <= {"ok"} else 503), told


def doors(state: State, store: Store, workspace: Workspace) -> dict[str, Check]:
    """Whether Redis takes writes, and S3 answers."""
    uri = workspace.under("runs", "ready")
    return {"redis": state.check_writes, "s3": _Held(lambda: store.head(uri))}


class _Held:
    """A check whose answer holds for a while, and that runs once at a time however many ask."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._looked = -LOOK_HOLDS
        self._wrong: RestyleError | None = RestyleError("not looked at yet")

    def __call__(self) -> None:
        """Raises what was found at the last look."""
        if time.monotonic() - self._looked >= LOOK_HOLDS and self._lock.acquire(blocking=False):
            try:
                self._check()
                self._wrong = None
            except RestyleError as error:
                self._wrong = error
            finally:
                self._looked = time.monotonic()
                self._lock.release()
        if self._wrong is not None:
            raise self._wrong


class _Quiet(WSGIRequestHandler):
    """Logs no request: probes and scrapes come all the time."""

    #: Seconds after which a caller that says nothing is let go.
    timeout = 10

    def log_message(self, *_: object) -> None:
        """Nothing."""
