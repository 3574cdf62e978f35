"""Planning and starting a run from the dashboard: a form, what it comes to, and a yes; as the command line does it."""

from __future__ import annotations

import asyncio
import io
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from apps.dashboard.access.identity import Access, Identity, Refused
from apps.dashboard.access.security import Frame, Names, read_form, read_upload
from apps.dashboard.acts import orders
from apps.dashboard.acts.actions import Action
from apps.dashboard.live import Live
from apps.dashboard.pages import html
from apps.dashboard.pages.phrases import changes_of
from apps.session import Session, is_embedded
from apps.starting import looked_into, started
from apps.views.moment import marked_in
from config.schedules import Schedule
from producers.manifest.encoding import lines_of
from producers.planning.clashes import Clashes
from producers.planning.compare.diff import Diff, compare, with_diff
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.runs.review.marks import Marks
from producers.scheduling.beat import Beat
from reports.report import marked_csv
from restyle.coordination.runs.firings import Firings
from restyle.errors import ConfigurationError, ManifestError
from restyle.models import Run
from restyle.run_ids import is_run_id, schedule_of

#: Parameters that a review asks for, where pictures are to be made again with others.
REDONE_WITH = ("strength", "prompt", "seed")
#: Bad lines that a page names.
MOST_PROBLEMS = 200
#: Jobs that are compared with what is done before a page asks for the yes; of more, `restyle plan --diff` says it.
MOST_COMPARED = 20_000
#: Forms that were filled in, whose plans can be looked at again.
KEPT_DRAFTS = 200
#: Characters of an address that a browser and a proxy surely take.
_LONGEST_ADDRESS = 4000


class Starting:
    """Answers for the pages on which runs begin."""

    def __init__(self, live: Live, access: Access, names: Names, frame: Frame) -> None:
        self.live, self._access, self._names, self._frame = live, access, names, frame
        # On one's own machine, files below the folder of the dashboard may be named; beyond it, or by guests, none.
        is_own = is_embedded(live.settings) and not access.asks
        self._folder = Path.cwd() if is_own else None
        self._starting = asyncio.Lock()
        self._drafts: OrderedDict[str, Mapping[str, str]] = OrderedDict()

    async def form(self, request: Request, identity: Identity) -> Response:
        """`GET /new`: what to run."""
        fields = {name: request.query_params.get(name, "")[:2000] for name in orders.FIELDS}
        return self._form(request, identity, fields)

    async def plan(self, request: Request, identity: Identity) -> Response:
        """`POST /new`: takes in what was chosen, and leads to what it comes to."""
        fields, files = await read_upload(request, self._access, self._names)
        here = self.live.sides[0].session
        try:
            await self.live.call(lambda: orders.keep(files, fields, here))
        except (ManifestError, ConfigurationError) as error:
            return self._form(request, identity, fields, error)
        return self.shown(fields)

    def shown(self, fields: Mapping[str, str]) -> Response:
        """Leads to the page that says what these fields come to: by an address, so that going back to it works."""
        draft = secrets.token_urlsafe(16)
        self._drafts[draft] = fields
        while len(self._drafts) > KEPT_DRAFTS:
            self._drafts.popitem(last=False)
        return RedirectResponse(f"/new/plan/{draft}", 303)

    async def draft(self, request: Request, identity: Identity) -> Response:
        """`GET /new/plan/{draft}`: what it comes to, or the form with what is wrong. Spends nothing."""
        here, fields = self.live.sides[0].session, self._drafts.get(request.path_params["draft"])
        if fields is None:  # the dashboard was started anew since
            return RedirectResponse("/new", 303)
        try:
            planned = await self.live.call(lambda: self._planned(fields, here, ""))
        except (ManifestError, ConfigurationError) as error:
            return self._form(request, identity, fields, error)
        return self._confirm(request, identity, fields, planned)

    async def start(self, request: Request, identity: Identity) -> Response:
        """`POST /new/start`: starts what was planned, once however often it is pressed."""
        fields = await read_form(request, self._access, self._names)
        run_id = fields.get("run_id", "")
        if not is_run_id(run_id):
            raise Refused(400, "This form cannot be read.")
        here, by = self.live.sides[0].session, f"{identity.name} (dashboard)"
        async with self._starting:
            try:
                planned = await self.live.call(lambda: self._planned(fields, here, run_id))
                if planned.plan.plan_digest != fields.get("digest"):
                    return self._confirm(request, identity, fields, planned, "It has changed since. Look again.")
                if wrong := self._is_unsaid(planned, fields):
                    return self._confirm(request, identity, fields, planned, wrong)
                run: Run = await self.live.call(lambda: started(planned.plan, here, by))
            except (ManifestError, ConfigurationError) as error:
                return self._form(request, identity, fields, error)
        self.live.forget()
        return RedirectResponse(f"/runs/{run.run_id}" + ("/grid" if run.trial else ""), 303)

    async def redo(self, request: Request, _identity: Identity) -> Response:
        """`POST /runs/{run}/marks/plan`: the marks as a manifest in the workspace, and what it comes to.

        What is marked redo is made again, with another seed or with the parameters that the form gives.
        """
        given = await read_form(request, self._access, self._names)
        side, row = await self.live.row(request.path_params["run"])
        here, run = side.session, row.run
        if side is not self.live.sides[0]:
            raise Refused(409, f"Run {run.run_id} is the sandbox's; type: restyle dashboard --sandbox")
        uri = await self.live.call(lambda: _put_marks(here, run))
        words = {name: " ".join(given.get(name, "").split()) for name in REDONE_WITH}
        sets = "\n".join(f"{name}={value}" for name, value in words.items() if value)
        name = run.name or orders.name_of(run.heading)
        return self.shown({"manifest": uri, "sets": sets, "name": name, "kind": "run"})

    # -- schedules ---------------------------------------------------------------------------------------------

    async def ask_fire(self, request: Request, identity: Identity) -> Response:
        """`GET /schedules/{name}/fire`: asks once."""
        schedule = self._schedule(request)
        action = Action(
            "fire", "Start now", f"Start {schedule.name} now?",
            "A run is planned as if its time had come, with its own budget and limits. While its last run goes on, it"
            f" {_OVERLAPS[schedule.overlap]}.", "",
        )  # fmt: skip
        about = f"{schedule.manifest} · {self.live.sides[0].session.workspace.uri}"
        return HTMLResponse(
            html.single("ask", action=action, about=about, cost="", back="/schedules", here="schedules", again={},
                         budget=None, **self._frame(request, identity))
        )  # fmt: skip

    async def fire(self, request: Request, identity: Identity) -> Response:
        """`POST /schedules/{name}/fire`: fires it as `restyle schedules run` does, unless a firing of it waits."""
        await read_form(request, self._access, self._names)
        schedule, here = self._schedule(request), self.live.sides[0].session
        by = f"{identity.name} (dashboard)"

        def act() -> None:
            firings = Firings(here.state)
            if not any(schedule_of(run_id) == schedule.name for run_id in firings.waiting()):
                here.control.hold()
                beat = Beat(here.settings, firings, here.store, here.workspace)
                firing = beat.fire_now(schedule.name, schedule.labels)
                replace(here.control, by=by).note(None, "fired", f"{schedule.name}, {firing.run_id}")

        async with self._starting:
            await self.live.call(act)
        self.live.forget()
        return RedirectResponse("/schedules", 303)

    def _schedule(self, request: Request) -> Schedule:
        name = request.path_params["name"]
        schedule = next((one for one in self.live.settings.schedule if one.name == name), None)
        if schedule is None:
            raise Refused(404, "There is no such schedule.")
        return schedule

    # -- plans -------------------------------------------------------------------------------------------------

    def _planned(self, fields: Mapping[str, str], here: Session, run_id: str) -> _Planned:
        """The plan, judged as the command line judges it, and compared with what is done.

        Raises:
            ManifestError, ConfigurationError: something is wrong with it; or it would cost more than its budget.
        """
        request = orders.request_of(fields, folder=self._folder)
        plan = make_plan(request, here.settings, workspace=here.workspace, store=here.store, run_id=run_id)
        diff = None
        if plan.jobs <= MOST_COMPARED:
            diff = compare(plan, store=here.store, workspace=here.workspace, settings=here.settings)
            plan = with_diff(plan, diff, here.settings)
        cost, budget = plan.estimate.credits, request.budget
        if budget is not None and cost > budget and not fields.get("past_budget") and not here.settings.sandbox:
            raise ConfigurationError(
                f"it would cost at most {cost:,.2f} credits, and the budget is {budget:,.2f}: raise it, take fewer, or"
                " say that the run is to stop there"
            )
        return _Planned(*looked_into(plan, here), diff)

    def _is_unsaid(self, planned: _Planned, fields: Mapping[str, str]) -> str:
        """What still has to be confirmed before it may start; empty: nothing."""
        plan = planned.plan
        if planned.clashes.needs_yes and not fields.get("replace"):
            return "Say that what would be replaced may be replaced."
        if self._must_type(plan):
            typed = fields.get("typed", "").replace(",", "").strip()
            if typed != f"{plan.estimate.credits:.2f}":
                return f"Type the cost, {plan.estimate.credits:.2f}, to start it."
        return ""

    def _must_type(self, plan: Plan) -> bool:
        settings = self.live.settings
        return not settings.sandbox and plan.estimate.credits > settings.confirm_above

    def _form(
        self, request: Request, identity: Identity, fields: Mapping[str, str], error: Exception | None = None
    ) -> Response:
        problems: list[str] = []
        if error is not None:
            lines = [str(problem) for problem in error.problems] if isinstance(error, ManifestError) else []
            lines = lines or getattr(error, "message", str(error)).splitlines()
            problems = [*lines[:MOST_PROBLEMS], *getattr(error, "__notes__", ())]
            # A file that was chosen lies in S3 under the name of its content, which says nothing to who chose it.
            inputs = self.live.sides[0].session.workspace.under("inputs", "")
            for field in ("manifest", "variants"):
                if (uri := fields.get(field, "")).startswith(inputs):
                    problems = [problem.replace(uri, f"{field} (the file that was chosen)") for problem in problems]
            if len(lines) > MOST_PROBLEMS:
                problems.append(f"… and {len(lines) - MOST_PROBLEMS:,} more")
        page = html.single("new", fields={name: fields.get(name, "") for name in orders.FIELDS}, problems=problems,
                            local=self._folder is not None, here="new", **self._frame(request, identity))  # fmt: skip
        return HTMLResponse(page, 422 if problems else 200)

    def _confirm(
        self, request: Request, identity: Identity, fields: Mapping[str, str], planned: _Planned, wrong: str = ""
    ) -> Response:
        settings, plan, clashes = self.live.settings, planned.plan, planned.clashes
        kept = {name: fields.get(name, "") for name in orders.FIELDS}
        warnings = [text for text in plan.warnings if text not in clashes.sentences()]
        redone = marked_in(plan.manifest.uri)
        filled = "/new?" + urlencode({name: value for name, value in kept.items() if value})
        form = filled if len(filled) < _LONGEST_ADDRESS else "/new"
        prompts = [line for line in lines_of(kept["prompts"]) if line.strip()] or [plan.prompt]
        page = html.single(
            "confirm", plan=plan, clashes=clashes, warnings=warnings, fields=kept, wrong=wrong, settings=settings,
            redone=redone, back=f"/runs/{redone}/jobs" if redone else form, prompts=prompts,
            must_type=self._must_type(plan), here="new", summary=plan.summary.lines(),
            changes=changes_of(planned.diff), pace=settings.effective_max_rpm, **self._frame(request, identity),
        )  # fmt: skip
        return HTMLResponse(page, 422 if wrong else 200)


class _Planned(NamedTuple):
    """A plan before its yes."""

    plan: Plan
    clashes: Clashes
    diff: Diff | None
    """What of it is done already; None where it has too many jobs to be compared while somebody waits."""


#: What a firing does while the schedule's last run goes on.
_OVERLAPS = {"skip": "is skipped", "queue": "waits for it", "cancel": "cancels it"}


def _put_marks(here: Session, run: Run) -> str:
    """Writes the marked jobs of a run as a manifest beside it; answers with its place.

    Raises:
        ConfigurationError: nothing is marked.
    """
    marks = Marks(run.run_id, here.store, here.workspace).standing()
    out = io.StringIO(newline="")
    if not marks or not marked_csv(run, here.rows(run), workspace=here.workspace, marks=marks, out=out):
        raise ConfigurationError(f"nothing of run {run.run_id} is marked")
    uri = here.workspace.run(run.run_id, "marks.csv")
    here.store.put(uri, out.getvalue().encode(), content_type="text/csv; charset=utf-8")
    return uri
