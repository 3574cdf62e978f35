"""restyle from Python: what the commands do with a fleet, as typed calls, for programs that submit runs and read them.

    with Client() as client:
        run = client.submit(PlanRequest("s3://shop/catalog.csv", prompt="studio photo", budget=50, name="spring"))
        for now in client.watch(run.run_id):
            print(now.succeeded, "of", now.planned)

Settings are read as those of a command. Nothing is asked and nothing is printed: what a command would ask about is
refused, unless it was allowed beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Self

from apps.session import Session, is_embedded, session
from config.connections import who
from config.reading import load_settings
from producers.planning.clashes import find_clashes
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from producers.planning.shards import write_shards
from producers.runs.outcomes import Row
from producers.runs.run_names import find_run
from producers.runs.snapshot import Snapshot, watch
from restyle.errors import ConfigurationError
from restyle.models import Run
from restyle.run_ids import check_labels, check_run_name


class Client:
    """The workspace and the fleet of these settings; open while the `with` lasts."""

    def __init__(self, **settings: Any) -> None:
        """Takes settings by their names, in the place of those of the environment and of restyle.toml."""
        self._settings = load_settings(**settings)
        self._opened = ExitStack()
        self._session: Session | None = None

    def __enter__(self) -> Self:
        if is_embedded(self._settings):
            raise ConfigurationError("there is no fleet: set RESTYLE_REDIS_URL and RESTYLE_WORKSPACE")
        self._session = self._opened.enter_context(session(self._settings, patient=False))
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.store.close()
            self._session.state.close()
        self._session = None
        self._opened.close()

    @property
    def _here(self) -> Session:
        if self._session is None:
            raise ConfigurationError("open the client first: with Client() as client")
        return self._session

    # -- what begins ---------------------------------------------------------------------------------------

    def plan(self, request: PlanRequest) -> Plan:
        """Judges, counts and prices a manifest; spends and writes nothing.

        Raises:
            ManifestError, ConfigurationError: something is wrong with it; all of it is reported.
        """
        _check(request)
        here = self._here
        return make_plan(request, here.settings, workspace=here.workspace, store=here.store)

    def submit(self, request: PlanRequest, *, yes: bool = False) -> Run:
        """Hands a manifest to the fleet.

        Args:
            request: what is wanted; with a `budget` no more than that is spent.
            yes: whether a large estimate without a budget, and the replacing of others' pictures, are meant.

        Raises:
            ManifestError, ConfigurationError: something is wrong with it, or it was not allowed.
            WorkspaceHeld: another Redis is at work in the workspace.
        """
        here, plan = self._here, self.plan(request)
        clashes = find_clashes(plan, store=here.store, workspace=here.workspace)
        if not yes:
            if clashes.needs_yes:
                raise ConfigurationError(f"{clashes.sentences()[0]}. To have it so: yes=True; nothing was spent")
            if request.budget is None and plan.estimate.credits > here.settings.confirm_above:
                raise ConfigurationError(
                    f"the estimate of {plan.estimate.credits:,.2f} credits is above RESTYLE_CONFIRM_ABOVE"
                    f" ({here.settings.confirm_above:,.0f}): give the request a budget, or say yes=True"
                )
        run = write_shards(
            plan, workspace=here.workspace, store=here.store, shard_jobs=here.settings.shard_jobs, by=who()
        )
        here.control.submit(run, here.feeder)
        return run

    # -- what goes on; a run is named as on the command line -------------------------------------------------

    def run(self, named: str) -> Run:
        """A run by its id, the beginning of one, its name, or `latest`.

        Raises:
            ConfigurationError: there is no such run, or several are meant.
        """
        run_id, _ = find_run(named, [self._here.workspace], self._here.store)
        return self._here.read(run_id)

    def runs(self, limit: int | None = None, labels: Mapping[str, str] | None = None) -> list[Run]:
        """The runs with all of these labels, newest first."""
        return self._here.control.runs(limit, labels or {})

    def status(self, named: str) -> Snapshot:
        """A run as it stands now."""
        return self._here.snapshot(self.run(named))

    def watch(self, named: str, *, every: float = 0.5) -> Iterator[Snapshot]:
        """A run as it moves, until it has ended; one that stands still until a person acts goes on being yielded."""
        here = self._here
        return watch(
            self.run(named), store=here.store, workspace=here.workspace, progress=here.progress, fleet=here.fleet,
            every=every,
        )  # fmt: skip

    def outcomes(self, named: str) -> Iterator[Row]:
        """Each job of a run with its outcome; None is pending."""
        return self._here.rows(self.run(named))()

    def suspend(self, named: str) -> None:
        """Stops a run before its next call."""
        self._here.control.suspend(self.run(named).run_id)

    def resume(self, named: str, *, budget: float | None = None) -> Run | None:
        """Lets a run go on, with a larger budget where one is given."""
        return self._here.control.resume(self.run(named).run_id, budget=budget)

    def cancel(self, named: str) -> Run:
        """Ends a run: calls in flight end and are stored, the rest stays undone."""
        return self._here.control.cancel(self.run(named).run_id)


def _check(request: PlanRequest) -> None:
    """Raises ConfigurationError where the run cannot be called or labelled so."""
    try:
        check_run_name(request.name)
        check_labels(dict(request.labels))
    except ValueError as reason:
        raise ConfigurationError(str(reason)) from None
