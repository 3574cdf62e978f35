"""The composition root of a worker: settings in, the tools of its jobs out; one per process."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING
from uuid import uuid4

from pydantic import ValidationError

from config.connections import limits, open_holding, open_spool, open_state, open_store
from config.settings import Settings
from reports.notifications import Notifications
from restyle.coordination.claim_types import Dropped
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.rotation import Rotation
from restyle.coordination.runs.progress import Progress
from restyle.coordination.workspace.holding import Holding
from restyle.errors import ConfigurationError
from restyle.formats import lying_at
from restyle.images.c2pa import open_signer
from restyle.job.blocking import Blocking
from restyle.job.context import Tools
from restyle.job.modes import ApiMode, Patience
from restyle.job.parked.aside import Aside
from restyle.job.parked.unsaved import Unsaved
from restyle.job.queued import Queued
from restyle.keys import Workspace
from restyle.models import Job, Run, RunOptions
from restyle.retries import Policy
from restyle.runtime.memory import MemoryBudget
from restyle.runtime.slots import Slots
from restyle.s3.store import Store
from restyle.segmind.v1 import Segmind
from restyle.segmind.v2 import SegmindQueue
from restyle.web.fetching import Fetcher, FetchTerms
from restyle.web.inputs import WebInputs
from tasks.plans import Plans

if TYPE_CHECKING:
    from producers.scheduling.start import Starter


@dataclass(frozen=True)
class Resources:
    """What the tasks of a worker process share."""

    settings: Settings
    workspace: Workspace
    store: Store
    state: State
    progress: Progress
    tools: Tools
    policy: Policy

    @cached_property
    def _runs(self) -> dict[str, Run]:
        return {}

    def run(self, run_id: str) -> Run:
        """A run's frozen plan, read once a process.

        Raises:
            Dropped: there is no such run, or its plan has keys of a newer restyle, whose workers do it.
            NewerFormat: its plan is of a later format.
        """
        if run_id not in self._runs:
            stored = self.store.find(self.workspace.run(run_id))
            if stored is None:
                raise Dropped("no such run")
            try:
                with lying_at(self.workspace.run(run_id)):
                    self._runs[run_id] = Run.model_validate_json(stored.data)
            except ValidationError:
                raise Dropped("its plan is of another version of restyle") from None
        return self._runs[run_id]

    def options(self, run_id: str) -> RunOptions:
        """What the run's plan froze for its workers."""
        return self.run(run_id).options

    def job_id(self, job: Job) -> str:
        """The id that a job has in this workspace."""
        return self.workspace.job_id(job.id, job.variant)

    @cached_property
    def plans(self) -> Plans:
        """The plans of the runs that messages come from."""
        return Plans(self.store, self.workspace)

    @cached_property
    def holding(self) -> Holding:
        """What holds the workspace for this worker's Redis."""
        return open_holding(self.settings, self.store, self.tools.fleet)

    @cached_property
    def web_inputs(self) -> WebInputs:
        """What fetches inputs from the web."""
        settings = self.settings
        terms = FetchTerms(settings.fetch_http, settings.fetch_networks, settings.fetch_contact, self.tools.version)
        return WebInputs(Fetcher(terms, connections=settings.fetch_per_host), self.store, self.workspace)

    @cached_property
    def starter(self) -> Starter:
        """What turns firings of schedules into runs."""
        # Imported here and so kept out of the memory of every worker that is not the dispatcher.
        from producers.scheduling.start import Starter

        return Starter(
            self.settings, self.workspace, self.store, self.progress, self.tools.fleet,
            on_error=self.notifications.not_started,
        )  # fmt: skip

    @cached_property
    def notifications(self) -> Notifications:
        """What tells people of runs."""
        return Notifications(self.settings, self.workspace, self.store, self.progress, self.tools.fleet)

    def close(self) -> None:
        """Closes every connection."""
        self.tools.segmind.close()
        self.store.close()
        self.state.close()


def open_resources(settings: Settings) -> Resources:
    """Everything a worker needs.

    Raises:
        ConfigurationError: the settings do not suffice for a worker.
    """
    if settings.api_key is None or settings.account is None:
        raise ConfigurationError(
            "No API key is set. Set RESTYLE_API_KEY (or SEGMIND_API_KEY, or RESTYLE_API_KEY_FILE),"
            " or add --sandbox to try restyle without paying"
        )
    connections = settings.concurrency * 2 + 16
    store = open_store(settings, connections=connections)
    state = open_state(settings, settings.account, connections=connections + 64)
    worker = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:4]}"
    fleet, stopping = Fleet(state, limits(settings), worker=worker), threading.Event()
    tools = Tools(
        workspace=settings.effective_workspace,
        store=store,
        segmind=open_api(settings, settings.api_key.get_secret_value(), fleet, store, stopping),
        fleet=fleet,
        slots=Slots(settings.concurrency),
        memory=MemoryBudget(),
        stopping=stopping,
        unsaved=Unsaved(),
        aside=Aside(store, settings.effective_workspace),
        spool=open_spool(settings),
        version=version("catalog-restyle"),
        price=settings.price,
        hold_doubts=settings.in_doubt == "hold",
        rotation=Rotation(patience=settings.heartbeat_ttl / 3),
        signer=open_signer(
            settings.c2pa_certificate, settings.c2pa_key_file, settings.c2pa_algorithm, settings.c2pa_timestamps
        ),
    )
    policy = Policy(
        settings.max_attempts, settings.backoff_base, settings.backoff_max, settings.in_doubt,
        looks_up=settings.api == "v2",
    )  # fmt: skip
    return Resources(settings, settings.effective_workspace, store, state, Progress(state), tools, policy)


def open_queue(settings: Settings, api_key: str) -> SegmindQueue:
    """The API's mode v2."""
    return SegmindQueue(
        settings.door_url("v2"), api_key, history_url=settings.effective_history_url, timeout=settings.api_timeout,
        connections=settings.concurrency, direct=bool(settings.local_sandbox),
    )  # fmt: skip


def open_api(settings: Settings, api_key: str, fleet: Fleet, store: Store, stopping: threading.Event) -> ApiMode:
    """The mode of the API that these settings choose."""
    patience = Patience(
        settings.api_timeout, settings.poll_seconds, settings.history_seconds, settings.leave_seconds
    )  # fmt: skip
    queue = open_queue(settings, api_key)
    queued = Queued(queue, fleet, store, settings.effective_workspace, stopping, patience)
    if settings.api == "v2":
        return queued
    blocking = Segmind(
        settings.door_url("v1"), api_key, timeout=settings.api_timeout, connections=settings.concurrency,
        direct=bool(settings.local_sandbox),
    )  # fmt: skip
    return Blocking(blocking, queued)
