"""What a command works with: settings, the embedded stack where none is configured, connections to S3 and Redis."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from apps.stack import local
from apps.stack.driving import Driving
from apps.terminal.console import Volume, can_ask, confirm, say
from apps.terminal.signals import ending_at_once, is_urgent, terminable
from config.celery_app import make_celery
from config.connections import check_network, limits, open_holding, open_state, open_store, who
from config.reading import HOME, config_path
from config.settings import Settings
from producers.dispatch.feeder import Feeder
from producers.runs.control import Control
from producers.runs.outcomes import Rows
from producers.runs.run_names import find_run
from producers.runs.snapshot import Snapshot, read_run, rows_of, snapshot
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from restyle.coordination.workspace.holder import described
from restyle.coordination.workspace.holding import Holding
from restyle.errors import ConfigurationError, RestyleError, StateUnavailable
from restyle.keys import Workspace
from restyle.models import Run, utc_now
from restyle.s3.store import EMBEDDED_BUCKET, Store
from restyle.s3.throttling import Patience

#: Seconds that the last step of holding the workspace may take as a command ends.
STEP_TIMEOUT = 5.0


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
    #: The id of the run that the command is about; empty: of none, or of all.
    run_id: str = ""

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
        return Control(
            self.store, self.workspace, self.progress, self.fleet, who(), self.settings.heartbeat_seconds, self.holding
        )  # fmt: skip

    @cached_property
    def holding(self) -> Holding:
        """What holds the workspace for this Redis."""
        return open_holding(self.settings, self.store, self.fleet)

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

    @property
    def sides(self) -> list[Session]:
        """The sides of the workspace that a command without a run looks at: the sandbox's alone where that is set."""
        return [self] if self.settings.sandbox else [self, self.sandboxed()]

    @cached_property
    def driving(self) -> Driving:
        """Which runs the living commands of this folder follow to their end."""
        return Driving(self.stack.home, self.embedded)

    def refusal(self) -> StateUnavailable | None:
        """What Redis says, where it can be read and takes no writes: nothing moves then."""
        try:
            self.state.check_writes()
        except StateUnavailable as error:
            return error
        return None

    def rows(self, run: Run) -> Rows:
        """A run's jobs with their outcomes so far."""
        return rows_of(run, store=self.store, workspace=self.workspace, progress=self.progress)

    def snapshot(self, run: Run) -> Snapshot:
        """A run as it stands now."""
        return snapshot(run, store=self.store, workspace=self.workspace, progress=self.progress, fleet=self.fleet)


def is_embedded(settings: Settings) -> bool:
    """Whether restyle brings its own Redis, and so its own worker."""
    return settings.redis_url is None


@contextmanager
def session(
    settings: Settings,
    *,
    worker: bool = False,
    run: str | None = None,
    detach: bool = False,
    patient: bool = True,
    holds: bool | None = None,
    take_over: bool = False,
) -> Iterator[Session]:
    """Opens what a command needs; what it started ends with it.

    Args:
        settings: as read.
        worker: whether the embedded stack must have a worker. A configured fleet has its own.
        run: the run that the command is about, as it was typed (producers/runs/run_names.py): where it is a sandbox
            run, the sandbox's workspace is taken.
        detach: whether the embedded stack stays up afterwards.
        patient: whether an S3 in trouble is waited for, with a word, rather than reported at once.
        holds: whether the command may spend or end something, so that the workspace must be this Redis's; without a
            word, where it needs a worker.
        take_over: whether another holder is asked to stop.

    Raises:
        WorkspaceHeld: another Redis is at work in the workspace, and the command may spend.
        ConfigurationError: a part is neither configured nor can be started, or Redis refuses the login.
        StateUnavailable, StoreUnavailable: a configured part cannot be reached.
    """
    with stored(settings, detach=detach, patient=patient) as (servers, store):
        chosen, run_id = addressed(servers.settings, run, store)
        embedded = is_embedded(settings)
        if worker:
            require_key(chosen)
            if embedded:
                check_network(chosen)
        here = connect(chosen, store, servers, embedded=embedded, run_id=run_id)
        hold = held(here, take_over=take_over) if (worker if holds is None else holds) else nullcontext()
        with hold, with_worker(here, detach=detach) if worker else nullcontext(here) as opened:
            yield opened


@contextmanager
def stored(settings: Settings, *, detach: bool, patient: bool) -> Iterator[tuple[local.Stack, Store]]:
    """The embedded servers where none are configured, without a worker, and the store over them."""
    if patient:
        say_where(settings)
    patience = Patience(lambda sentence: say(sentence, "yellow")) if patient else None
    at_once = ending_at_once() if patient else nullcontext()
    with local.stack(settings, worker=False, sandbox=False, detach=detach, say=say) as servers, at_once:
        if patience:  # the embedded S3 ends with its stack
            patience.unless(lambda: bool(servers.ended()))
        # One for both sides of the workspace, which a dashboard reads at a time.
        yield servers, open_store(servers.settings, connections=32, patience=patience)


@contextmanager
def with_worker(here: Session, *, detach: bool) -> Iterator[Session]:
    """The same with the rest of the embedded stack: its worker, and the sandbox where that is set."""
    chosen, worker = here.settings, here.embedded
    stack = local.stack(chosen, worker=worker, sandbox=worker and chosen.sandbox, detach=detach, say=say)
    with terminable(), stack as complete:
        more = here.stack.with_more(complete)
        yield connect(complete.settings, here.store, more, embedded=here.embedded, run_id=here.run_id)


def say_where(settings: Settings) -> None:
    """Says which workspace of this machine it is, where that is not plain from the folder: above it, or a new one."""
    if Volume.is_verbose:
        where = settings.effective_workspace.uri if settings.workspace else f"in {settings.home.absolute()}"
        say(f"Settings: {config_path()}{'' if config_path().exists() else ', which is not there'}", "dim")
        say(f"Workspace: {where}; Redis: {'embedded' if is_embedded(settings) else 'as RESTYLE_REDIS_URL says'}", "dim")
    if settings.redis_url is not None and settings.workspace:
        return
    if not settings.home.exists():
        begins = f"A new workspace begins in {settings.home.absolute()}"
        say(begins + "; no folder above has one (.restyle)" * (settings.home == Path(HOME)), "dim")
    elif settings.source("home") not in {"default", "flag", "environment"}:
        say(f"The workspace is {settings.home}", "dim")


@contextmanager
def held(here: Session, *, take_over: bool) -> Iterator[None]:
    """Holds the workspace while the command lasts; an embedded Redis without a worker leaves it at the end.

    Raises:
        WorkspaceHeld: another Redis is at work there.
    """
    from restyle.coordination.workspace.renewal import Renewal, leave  # few commands hold anything

    if take_over:
        confirm_take_over(here)
    here.holding.hold(say=lambda text: say(text, "yellow"), take_over=take_over)
    renewal = Renewal(here.holding, interest=True)
    renewal.start()
    try:
        yield
    finally:
        # Whatever goes wrong here, or is left out, ends by itself, only later.
        renewal.stop(within=0 if is_urgent() else STEP_TIMEOUT)
        if not is_urgent():
            here.holding.lose_interest()
            with suppress(RestyleError):
                if here.embedded and not any(here.fleet.workers().values()):
                    leave(here.holding, if_idle=False)


def confirm_take_over(here: Session) -> None:
    """Asks once on a terminal before another holder is stopped.

    Raises:
        ConfigurationError: the answer is no.
    """
    holder = here.holding.holder()
    if holder is None or holder[1] or holder[0].is_silent or not can_ask():
        return
    say(f"{here.workspace.uri} is held by {described(holder[0], utc_now())}. What runs there stops.", "yellow")
    confirm("Take it over?", what="changed")


def connect(settings: Settings, store: Store, stack: local.Stack, *, embedded: bool, run_id: str = "") -> Session:
    """The connections of complete settings, Redis checked."""
    state = open_state(settings, settings.account or "")
    try:
        state.log_in()
    except StateUnavailable:
        if settings.local_redis in {None, socket.gethostname()}:
            raise
        raise ConfigurationError(
            f"{settings.home} is in use on {settings.local_redis}, whose embedded Redis this machine does not reach."
            " Two machines cannot share one RESTYLE_HOME: set it to a folder of this machine"
        ) from None
    if settings.account is None and (account := state.ask("GET", state.key("account"))):
        # Without a key of its own a command looks at the account that the workers use.
        state.close()
        state = open_state(settings, str(account))
    return Session(settings, embedded, store, state, stack, run_id)


def require_key(settings: Settings) -> None:
    """Raises where a worker is to be started and no key is set."""
    if is_embedded(settings) and settings.api_key is None and not settings.sandbox:
        raise ConfigurationError(
            "No API key is set. Set RESTYLE_API_KEY (or SEGMIND_API_KEY, or RESTYLE_API_KEY_FILE),"
            " or add --sandbox to try restyle without paying"
        )


def addressed(settings: Settings, run: str | None, store: Store) -> tuple[Settings, str]:
    """The settings, turned to the side of the workspace where a run lies, and its id; both as they are without one.

    Raises:
        ConfigurationError: there is no such run, or several are meant.
    """
    if run is None:
        return settings, ""
    workspace = settings.effective_workspace
    run_id, side = find_run(run, [workspace] if settings.sandbox else [workspace, workspace.sandbox], store)
    return (settings if side == workspace else settings.model_copy(update={"sandbox": True})), run_id
