"""The dashboard's web application: pages, pictures, buttons, and the stream that keeps pages current."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from apps.dashboard.access.identity import Access, Identity, Refused, Role
from apps.dashboard.access.security import HEADERS, Guard, Handler, Names, only_for
from apps.dashboard.access.serving import Server, serve
from apps.dashboard.access.sharing import Shares, shared
from apps.dashboard.acts import actions
from apps.dashboard.live import Live, Parts
from apps.dashboard.pages import html, phrases
from apps.dashboard.pages.timetable import NIGHTS, Timetable
from apps.dashboard.routes import health
from apps.dashboard.routes.costs import CostPages
from apps.dashboard.routes.gallery import Gallery
from apps.dashboard.routes.presses import Presses, pressed
from apps.dashboard.routes.report import Report
from apps.dashboard.routes.review import Reviews
from apps.dashboard.routes.sharing import Sharing
from apps.dashboard.routes.sign_in import SignIn
from apps.dashboard.routes.starting import Starting
from apps.dashboard.routes.trials import Trials
from apps.session import is_embedded
from apps.views.moment import Moment, Row
from apps.views.overview import Side
from config.settings import Settings
from restyle.errors import ConfigurationError, RestyleError, WorkspaceHeld
from restyle.run_ids import schedule_of

_ONLY_LOOKS = (
    "This dashboard's Redis user may only look. For its buttons, give RESTYLE_REDIS_URL the submitter's user of"
    " deploy/redis/users.acl."
)
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass
class Dashboard:
    """Answers requests."""

    live: Live
    access: Access
    names: Names
    settings: Settings

    def __post_init__(self) -> None:
        self._timetable = Timetable(self.settings.schedule)
        self._embedded = is_embedded(self.settings)

    # -- pages -------------------------------------------------------------------------------------------------

    async def runs(self, request: Request, identity: Identity) -> Response:
        """`GET /`: the runs, newest first."""
        return self._page(request, identity, "Runs", await self.runs_parts(request, identity), here="runs", wide=True)

    async def run(self, request: Request, identity: Identity) -> Response:
        """`GET /runs/{run}`."""
        side, row = await self.live.row(request.path_params["run"])
        action = actions.RUN_ACTIONS.get(pressed(request, self.access))
        parts = await self.run_parts(request, identity, (side, row))
        return self._page(request, identity, row.name, parts, here="run", notice=action.done if action else "")

    async def fleet(self, request: Request, identity: Identity) -> Response:
        """`GET /fleet`."""
        action = actions.FLEET_ACTIONS.get(pressed(request, self.access))
        parts = await self.fleet_parts(request, identity)
        return self._page(request, identity, "Fleet", parts, here="fleet", notice=action.done if action else "")

    async def schedules(self, request: Request, identity: Identity) -> Response:
        """`GET /schedules`."""
        return self._page(
            request, identity, "Schedules", await self.schedules_parts(request, identity), here="schedules"
        )

    def _page(self, request: Request, identity: Identity, title: str, parts: Parts, *, here: str, notice: str = "",
              wide: bool = False) -> Response:  # fmt: skip
        page = request.query_params.get("page")
        live = "/live" + request.scope["path"] + (f"?page={quote(page)}" if page else "")
        return HTMLResponse(
            html.page(title, parts, live=live, notice=notice, here=here, wide=wide, **self.frame(request, identity))
        )

    def frame(self, request: Request, identity: Identity) -> dict[str, Any]:
        """What every page has around it."""
        named = self.access.proxy is not None and self.access.proxy.identity(request) is not None
        return {
            "who": identity.name if self.access.asks else None,
            "may_act": identity.may_act,
            "guest": identity.is_guest,
            "signs_out": not named,
            "form_token": self.access.form_token(request),
            "workspace": self.live.sides[0].session.workspace.uri,
            "sandbox_only": self.settings.sandbox,
        }

    # -- their parts -------------------------------------------------------------------------------------------

    async def runs_parts(self, request: Request, _identity: Identity) -> Parts:
        """The list of runs."""
        moments = await self.live.now()
        listed = sorted(
            ((run_id, side, moment) for side, moment in self._sides(moments) for run_id in side.ids),
            key=lambda one: one[0], reverse=True,
        )  # fmt: skip
        count = max(1, -(-len(listed) // html.PER_PAGE))
        page = min(max(1, _int(request.query_params.get("page"), 1)), count)
        shown = listed[(page - 1) * html.PER_PAGE : page * html.PER_PAGE]
        rows: list[Row] = []
        for side, moment in self._sides(moments):
            ids = [run_id for run_id, whose, _ in shown if whose is side]
            rows += await self.live.rows(side, ids, moment)
        rows.sort(key=lambda row: row.run.run_id, reverse=True)
        return html.runs_parts(moments, rows, page, count, embedded=self._embedded, sandbox=self.settings.sandbox)

    async def run_parts(self, request: Request, identity: Identity, known: tuple[Side, Row] | None = None) -> Parts:
        """One run."""
        side, row = known or await self.live.row(request.path_params["run"])
        near = await self.live.near(side, row)
        moment = next(moment for whose, moment in self._sides(await self.live.now()) if whose is side)
        return html.run_parts(
            moment, row, near, self.settings.credit_price, embedded=self._embedded, may_act=identity.may_act
        )

    async def fleet_parts(self, _request: Request, identity: Identity) -> Parts:
        """The fleet."""
        return html.fleet_parts(await self.live.now(), embedded=self._embedded, may_act=identity.may_act)

    async def schedules_parts(self, _request: Request, identity: Identity) -> Parts:
        """The schedules."""
        moments = await self.live.now()
        sides = [] if self.live.troubled else self.live.sides
        lines = await self.live.call(lambda: self._timetable.look(sides))
        nights: dict[str, list[Row]] = {}
        for schedule in self._timetable.schedules:
            side, moment = self._sides(moments)[0]
            ids = [run_id for run_id in side.ids if schedule_of(run_id) == schedule.name][:NIGHTS]
            nights[schedule.name] = await self.live.rows(side, ids, moment)
        return html.schedules_parts(moments, lines, nights, embedded=self._embedded, may_act=identity.may_act)

    def _sides(self, moments: list[Moment]) -> list[tuple[Side, Moment]]:
        return list(zip(self.live.sides, moments, strict=False))

    def stream(self, parts: Callable[[Request, Identity], Awaitable[Parts]]) -> Handler:
        """The stream of a page's parts, for as long as its viewer is who they were."""

        async def answer(request: Request, identity: Identity) -> Response:
            events = self.live.stream(lambda: parts(request, identity), lambda: self.access.who(request) == identity)
            return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

        return answer

    # -- files -------------------------------------------------------------------------------------------------

    async def asset(self, request: Request) -> Response:
        """`GET /static/{name}`."""
        name = request.path_params["name"]
        file = html.asset_file(name)
        kind = _TYPES.get("." + name.rpartition(".")[2])
        if kind is None or file is None:
            raise Refused(404, "There is no such file.")
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(file.read_bytes(), media_type=kind, headers=headers)

    # -- errors ------------------------------------------------------------------------------------------------

    async def sorry(self, request: Request, error: Exception) -> Response:
        """What went wrong, in a sentence; a page where somebody reads it."""
        if not isinstance(error, RestyleError | Refused | HTTPException):
            text = "Something went wrong here. The terminal in which the dashboard runs says what."
            return HTMLResponse(html.single("sorry", text=text, status=500, again="", back=""), 500, HEADERS)
        status = error.status if isinstance(error, Refused) else getattr(error, "status_code", None)
        if status is None:
            gone = isinstance(error, ConfigurationError) and request.method == "GET"
            status = 404 if gone else 409 if isinstance(error, ConfigurationError | WorkspaceHeld) else 503
        text = error.message if isinstance(error, RestyleError) else str(getattr(error, "detail", error))
        text = "There is no such page." if text == "Not Found" else text
        if request.method == "POST" and status == 503 and " NOPERM " in text:
            status, text = 403, f"{_ONLY_LOOKS} {text}"
        again = request.scope["path"] if status == 503 else ""
        back = f"/runs/{request.path_params['run']}" if status == 409 and "run" in request.path_params else ""
        back += "/grid" if back and "/grid/" in request.scope["path"] else ""
        text = phrases.sentence(text)
        return HTMLResponse(html.single("sorry", text=text, status=status, again=again, back=back), status)


@dataclass(frozen=True)
class Doors:
    """Routes, each with who is let in."""

    access: Access
    shares: Shares

    def look(self, path: str, handler: Handler) -> Route:
        """A page for everybody who may look."""
        return Route(path, only_for(Role.LOOK, self.access, handler), methods=["GET"])

    def show(self, path: str, handler: Handler) -> Route:
        """A page for those, too, with whom the run is shared."""
        return Route(path, shared(self.shares, handler), methods=["GET"])

    def press(self, path: str, handler: Handler) -> Route:
        """A form of those who may act."""
        return Route(path, only_for(Role.ACT, self.access, handler), methods=["POST"])

    def act(self, path: str, asks: Handler, does: Handler) -> list[Route]:
        """A button: its question, and what it does."""
        return [Route(path, only_for(Role.ACT, self.access, asks), methods=["GET"]), self.press(path, does)]


def create_app(live: Live, access: Access, names: Names) -> Starlette:
    """The application. Each route says who is let in: nobody but its role, or everybody where it is listed as open."""
    board, shares = Dashboard(live, access, names, live.settings), Shares(access, live.sides[0].session.workspace.uri)
    doors, sharing = Doors(access, shares), Sharing(live, access, names, shares, board.frame)
    starting, sign_in = Starting(live, access, names, board.frame), SignIn(access, names)
    presses, costs = Presses(live, access, names, board.frame), CostPages(live, board.frame)
    is_open = [
        *health.routes(live),
        Route("/static/{name:str}", board.asset, methods=["GET"]),
        Route("/shared/{text:str}", sharing.follow, methods=["GET"]),
        Route("/sign-in", sign_in.ask_who, methods=["GET"]),
        Route("/sign-in", sign_in.sign_in, methods=["POST"]),
    ]
    routes = [
        *is_open,
        doors.look("/", board.runs),
        doors.look("/new", starting.form),
        doors.press("/new", starting.plan),
        Route("/new/plan/{draft:str}", only_for(Role.ACT, access, starting.draft), methods=["GET"]),
        doors.press("/new/start", starting.start),
        *doors.act("/schedules/{name:str}/fire", starting.ask_fire, starting.fire),
        doors.press("/runs/{run:str}/marks/plan", starting.redo),
        doors.look("/fleet", board.fleet),
        doors.look("/schedules", board.schedules),
        doors.look("/costs", costs.page),
        doors.look("/costs.csv", costs.download),
        Route("/sign-out", only_for(Role.LOOK, access, sign_in.sign_out), methods=["POST"]),
        doors.look("/live/", board.stream(board.runs_parts)),
        doors.look("/live/fleet", board.stream(board.fleet_parts)),
        doors.look("/live/schedules", board.stream(board.schedules_parts)),
        doors.look("/live/runs/{run:str}", board.stream(board.run_parts)),
        *doors.act("/fleet/{side:str}/{action:str}", presses.ask_fleet, presses.do_fleet),
        doors.look("/runs/{run:str}", board.run),
        *_of_a_run(board, doors, sharing, starting),
        *doors.act("/runs/{run:str}/{action:str}", presses.ask_run, presses.do_run),
    ]
    handlers = dict.fromkeys((Refused, RestyleError, 404, 405, 500), board.sorry)
    return Starlette(routes=routes, exception_handlers=handlers, middleware=[Middleware(Guard, names=names)])


def _of_a_run(board: Dashboard, doors: Doors, sharing: Sharing, starting: Starting) -> list[Route]:
    """What lies below a run's own page: its jobs, marks, grid, report and pictures."""
    live, access, names, run = board.live, board.access, board.names, "/runs/{run:str}"
    gallery, report, reviews = Gallery(live), Report(live), Reviews(live, access, names, board.frame)
    trials = Trials(live, access, names, gallery, starting, board.frame)
    picture = "/pictures/{shard:int}/{index:int}/{which:str}"
    return [
        doors.show(run + "/jobs", reviews.page),
        *doors.act(run + "/share", sharing.ask, sharing.make),
        doors.look(run + "/marks.csv", reviews.export),
        doors.press(run + "/marks/withdraw", reviews.withdraw),
        doors.press(run + "/marks", reviews.mark),
        doors.look(run + "/grid", trials.page),
        doors.press(run + "/grid/use", trials.use),
        doors.press(run + "/grid/marks", trials.mark),
        doors.look(run + "/grid/{place:int}/{which:str}", trials.picture),
        doors.look(run + "/report", report.page),
        doors.look(run + "/report/objects/{number:int}", report.full),
        doors.look(run + "/report/{name:str}", report.picture),
        doors.show(run + picture, gallery.small),
        doors.show(run + picture + "/full", gallery.full),
    ]


def make_server(live: Live, access: Access, names: Names, host: str, port: int, ready: Callable[[int], None]) -> Server:
    """A server of the dashboard that is not running yet; port 0 takes any free one."""
    is_proxy = access.proxy.is_proxy if access.proxy else lambda _address: False
    return serve(create_app(live, access, names), live, host, port, ready, is_proxy)


def _int(text: str | None, default: int) -> int:
    try:
        return int(text or default)
    except ValueError:
        return default
