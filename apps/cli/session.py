"""What a command works with: settings, the embedded stack where none is configured, and the doors to S3 and Redis."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from apps import local
from apps.cli.console import say
from apps.cli.signals import terminable
from apps.driving import Driving
from config.celery_app import make_celery
from config.connections import limits, open_state, open_store
from config.settings import Settings
from producers.control import Control
from producers.enqueue import Feeder
from producers.rows import Rows
from producers.watch import Snapshot, read_run, rows_of, snapshot
from restyle.errors import ConfigurationError
from restyle.fleet import Fleet
from restyle.keys import Workspace, is_run_id
from restyle.models import Run
from restyle.progress import Progress
from restyle.state import State
from restyle.store import EMBEDDED_BUCKET, Store


@dataclass(frozen=True)
class Session:
    """The workspace and the fleet as one command sees them."""

    settings: Settings
    #: Whether Redis is the embedded one, so that the worker lives with the commands of its folder.
    embedded: bool
    store: Store
    state: State
    #: This command's part in the embedded stack.
    stack: local.Stack

    @property
    def workspace(self) -> Workspace:
        """Where this command's runs lie."""
        return self.settings.effective_workspace

    @cached_property
    def progress(self) -> Progress:
        """The shared ledger of runs."""
        return Progress(self.state)

    @cached_property
    def fleet(self) -> Fleet:
        """The fleet, seen without being a worker."""
        return Fleet(self.state, limits(self.settings))

    @cached_property
    def control(self) -> Control:
        """The levers."""
        return Control(self.store, self.workspace, self.progress, self.fleet, who(), self.settings.heartbeat_seconds)

    @cached_property
    def feeder(self) -> Feeder:
        """What queues a run's first window."""
        return Feeder(
            make_celery(self.settings), self.progress, self.fleet, self.store, self.workspace,
            self.settings.window_jobs, self.settings.refeed_after,
        )  # fmt: skip

    def read(self, run_id: str) -> Run:
        """A run of this workspace."""
        return read_run(run_id, store=self.store, workspace=self.workspace)

    def shown(self, uri: str) -> str:
        """A URI as a person can open it: of the embedded bucket, the file or folder it is."""
        prefix = f"s3://{EMBEDDED_BUCKET}/"
        if uri.startswith(prefix) and self.settings.local_s3_endpoint:
            return str(self.settings.home / "s3" / EMBEDDED_BUCKET / uri.removeprefix(prefix))
        return uri

    def sandboxed(self) -> Session:
        """The sandbox's side of the same workspace, in the same S3."""
        settings = self.settings.model_copy(update={"sandbox": True})
        return connect(settings, self.store, self.stack, embedded=self.embedded)

    @cached_property
    def driving(self) -> Driving:
        """Which runs the living commands of this folder follow to their end."""
        return Driving(self.stack.home, self.embedded)

    def rows(self, run: Run) -> Rows:
        """A run's jobs with their outcomes so far."""
        return rows_of(run, store=self.store, workspace=self.workspace, progress=self.progress)

    def snapshot(self, run: Run) -> Snapshot:
        """A run as it stands now."""
        return snapshot(run, store=self.store, workspace=self.workspace, progress=self.progress, fleet=self.fleet)


def who() -> str:
    """Who is at the keyboard, for what is written down."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def is_embedded(settings: Settings) -> bool:
    """Whether restyle brings its own Redis, and so its own worker."""
    return settings.redis_url is None


@contextmanager
def session(
    settings: Settings, *, worker: bool = False, run_id: str | None = None, detach: bool = False
) -> Iterator[Session]:
    """Opens what a command needs; what it started ends with it.

    Args:
        settings: as read.
        worker: whether the embedded stack must have a worker. A configured fleet has its own.
        run_id: a run that the command is about: where it is a sandbox run, the sandbox's workspace is taken.
        detach: whether the embedded stack stays up afterwards.

    Raises:
        ConfigurationError: a part is neither configured nor can be started.
        StateUnavailable, StoreUnavailable: a configured part cannot be reached.
    """
    with local.stack(settings, worker=False, sandbox=False, detach=detach, say=say) as servers:
        # One for both sides of the workspace, which a dashboard reads at a time.
        store, embedded = open_store(servers.settings, connections=32), is_embedded(settings)
        found = with_sandbox_run(servers.settings, run_id, store) if run_id else servers.settings
        if not worker:
            yield connect(found, store, servers, embedded=embedded)
            return
        require_key(found)
        stack = local.stack(found, worker=embedded, sandbox=embedded and found.sandbox, detach=detach, say=say)
        with terminable(), stack as complete:
            yield connect(complete.settings, store, servers.with_more(complete), embedded=embedded)


def connect(settings: Settings, store: Store, stack: local.Stack, *, embedded: bool) -> Session:
    """The doors of complete settings, Redis checked."""
    state = open_state(settings, settings.account or "", connections=16)
    state.ping()
    if settings.account is None and (account := state.ask("GET", state.key("account"))):
        # Without a key of its own a command looks at the account that the workers use.
        state.close()
        state = open_state(settings, str(account), connections=16)
    return Session(settings, embedded, store, state, stack)


def require_key(settings: Settings) -> None:
    """Raises where a worker is to be started and no key is set."""
    if is_embedded(settings) and settings.api_key is None and not settings.sandbox:
        raise ConfigurationError(
            "No API key is set. Set RESTYLE_API_KEY (or SEGMIND_API_KEY, or RESTYLE_API_KEY_FILE),"
            " or add --sandbox to try restyle without paying"
        )


def with_sandbox_run(settings: Settings, run_id: str, store: Store) -> Settings:
    """The settings, turned to the sandbox's workspace where the run lies there."""
    if settings.sandbox or not is_run_id(run_id):
        return settings
    workspace = settings.effective_workspace
    if store.head(workspace.run(run_id)) is None and store.head(workspace.sandbox.run(run_id)) is not None:
        return settings.model_copy(update={"sandbox": True})
    return settings
