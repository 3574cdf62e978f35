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
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from apps.dashboard.access.identity import Access, Identity, Refused, Role
from apps.dashboard.access.security import HEADERS, Guard, Handler, Names, only_for, read_form
from apps.dashboard.access.serving import Server, serve
from apps.dashboard.access.sharing import Shares, shared
from apps.dashboard.acts import actions
from apps.dashboard.live import Live, Parts
from apps.dashboard.pages import html, phrases
from apps.dashboard.pages.timetable import NIGHTS, Timetable
from apps.dashboard.routes import health
from apps.dashboard.routes.gallery import Gallery
from apps.dashboard.routes.report import Report
from apps.dashboard.routes.review import Reviews
from apps.dashboard.routes.sharing import Sharing
from apps.dashboard.routes.starting import Starting
from apps.dashboard.routes.trials import Trials
from apps.session import is_embedded
from apps.views.moment import Moment, Row
from apps.views.overview import Side
from config.settings import Settings
from restyle.errors import ConfigurationError, RestyleError, WorkspaceHeld
from restyle.run_ids import schedule_of

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
        action = actions.RUN_ACTIONS.get(request.query_params.get("said", ""))
        parts = await self.run_parts(request, identity, (side, row))
        return self._page(request, identity, row.name, parts, here="run", notice=action.done if action else "")

    async def fleet(self, request: Request, identity: Identity) -> Response:
        """`GET /fleet`."""
        action = actions.FLEET_ACTIONS.get(request.query_params.get("said", ""))
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
        return html.runs_parts(moments, rows, page, count, embedded=self._embedded)

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

    # -- buttons -----------------------------------------------------------------------------------------------

    async def ask_run(self, request: Request, identity: Identity) -> Response:
        """`GET /runs/{run}/{action}`: asks once."""
        _, row = await self.live.row(request.path_params["run"])
        action = _found(actions.RUN_ACTIONS, request)
        if action not in actions.of_run(row):
            raise Refused(409, f"Run {row.run.run_id} is {phrases.words(row.status)}: this does not apply now.")
        about = f"{row.name} · {row.run.run_id}"
        counts = actions.again(row) if action.name == "retry" else {}
        again = {name: html.priced(count, row.run, self.settings) for name, count in counts.items()}
        page = html.single(
            "ask", action=action, about=about, cost=html.cost_of(action.name, row, self.settings),
            back=f"/runs/{row.run.run_id}", here="run", again=again,
            budget=row.run.budget if action.name == "resume" else None, **self.frame(request, identity),
        )  # fmt: skip
        return HTMLResponse(page)

    async def do_run(self, request: Request, identity: Identity) -> Response:
        """`POST /runs/{run}/{action}`."""
        fields = await read_form(request, self.access, self.names)
        side, row = await self.live.row(request.path_params["run"])
        action, by = _found(actions.RUN_ACTIONS, request), _by(identity)
        goes_to = await self.live.call(lambda: actions.act_on_run(action.name, side, row, by, fields))
        self.live.forget()
        return RedirectResponse(f"/runs/{goes_to}?said={action.name}", 303)

    async def ask_fleet(self, request: Request, identity: Identity) -> Response:
        """`GET /fleet/{side}/{action}`: asks once."""
        action, side = _found(actions.FLEET_ACTIONS, request), self._side(request)
        about = "The sandbox's fleet" if side.name == "sandbox" else side.session.workspace.uri
        return HTMLResponse(
            html.single("ask", action=action, about=about, cost="", back="/fleet", here="fleet", again={}, budget=None,
                         **self.frame(request, identity))
        )  # fmt: skip

    async def do_fleet(self, request: Request, identity: Identity) -> Response:
        """`POST /fleet/{side}/{action}`."""
        await read_form(request, self.access, self.names)
        action, side, by = _found(actions.FLEET_ACTIONS, request), self._side(request), _by(identity)
        await self.live.call(lambda: actions.act_on_fleet(action.name, side, by))
        self.live.forget()
        return RedirectResponse(f"/fleet?said={action.name}", 303)

    def _side(self, request: Request) -> Side:
        for side in self.live.sides:
            if side.name == request.path_params["side"]:
                return side
        raise Refused(404, "There is no such fleet.")

    # -- signing in --------------------------------------------------------------------------------------------

    async def ask_who(self, request: Request) -> Response:
        """`GET /sign-in`."""
        if self.access.who(request) is not None:
            return RedirectResponse("/", 303)
        if self.access.token is None:
            raise Refused(401, "The proxy before this dashboard did not say who you are.")
        return self._sign_in_form(request, _own_path(request.query_params.get("next", "/")))

    async def sign_in(self, request: Request) -> Response:
        """`POST /sign-in`."""
        fields = await read_form(request, self.access, self.names)
        goes_to = _own_path(fields.get("next", "/"))
        try:
            address = request.client.host if request.client else ""
            value = self.access.sign_in(fields.get("name", ""), fields.get("token", ""), address)
        except Refused as refusal:
            return self._sign_in_form(request, goes_to, fields.get("name", ""), str(refusal), refusal.status)
        answer = RedirectResponse(goes_to, 303)
        answer.set_cookie(
            self.access.cookie(request), value, httponly=True, samesite="strict", path="/",
            secure=self.access.is_secure,
        )  # fmt: skip
        return answer

    async def sign_out(self, request: Request, _identity: Identity) -> Response:
        """`POST /sign-out`."""
        await read_form(request, self.access, self.names)
        self.access.sign_out(request)
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(
            self.access.cookie(request), path="/", secure=self.access.is_secure, httponly=True, samesite="strict"
        )
        return answer

    def _sign_in_form(self, request: Request, goes_to: str, name: str = "", wrong: str = "", status: int = 200
                      ) -> Response:  # fmt: skip
        token = self.access.form_token(request)
        return HTMLResponse(html.single("sign_in", next=goes_to, name=name, wrong=wrong, form_token=token), status)

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
        again = request.scope["path"] if status == 503 else ""
        back = f"/runs/{request.path_params['run']}" if status == 409 and "run" in request.path_params else ""
        text = phrases.sentence(text)
        return HTMLResponse(html.single("sorry", text=text, status=status, again=again, back=back), status)


def create_app(live: Live, access: Access, names: Names) -> Starlette:
    """The application. Each route says who is let in: nobody but its role, or everybody where it is listed as open."""
    board, gallery, report = Dashboard(live, access, names, live.settings), Gallery(live), Report(live)
    trials, reviews = Trials(live, access, names, gallery, board.frame), Reviews(live, access, names, board.frame)
    starting = Starting(live, access, names, board.frame)
    shares = Shares(access, live.sides[0].session.workspace.uri)
    sharing = Sharing(live, access, names, shares, board.frame)

    def look(path: str, handler: Handler) -> Route:
        return Route(path, only_for(Role.LOOK, access, handler), methods=["GET"])

    def act(path: str, asks: Handler, does: Handler) -> list[Route]:
        return [
            Route(path, only_for(Role.ACT, access, asks), methods=["GET"]),
            Route(path, only_for(Role.ACT, access, does), methods=["POST"]),
        ]

    def show(path: str, handler: Handler) -> Route:
        return Route(path, shared(shares, handler), methods=["GET"])

    run, picture = "/runs/{run:str}", "/pictures/{shard:int}/{index:int}/{which:str}"
    is_open = [
        *health.routes(live),
        Route("/static/{name:str}", board.asset, methods=["GET"]),
        Route("/shared/{text:str}", sharing.follow, methods=["GET"]),
        Route("/sign-in", board.ask_who, methods=["GET"]),
        Route("/sign-in", board.sign_in, methods=["POST"]),
    ]
    routes = [
        *is_open,
        look("/", board.runs),
        look("/new", starting.form),
        Route("/new", only_for(Role.ACT, access, starting.plan), methods=["POST"]),
        Route("/new/start", only_for(Role.ACT, access, starting.start), methods=["POST"]),
        *act("/schedules/{name:str}/fire", starting.ask_fire, starting.fire),
        Route(run + "/marks/plan", only_for(Role.ACT, access, starting.redo), methods=["POST"]),
        look("/fleet", board.fleet),
        look("/schedules", board.schedules),
        Route("/sign-out", only_for(Role.LOOK, access, board.sign_out), methods=["POST"]),
        look("/live/", board.stream(board.runs_parts)),
        look("/live/fleet", board.stream(board.fleet_parts)),
        look("/live/schedules", board.stream(board.schedules_parts)),
        look("/live" + run, board.stream(board.run_parts)),
        *act("/fleet/{side:str}/{action:str}", board.ask_fleet, board.do_fleet),
        look(run, board.run),
        show(run + "/jobs", reviews.page),
        *act(run + "/share", sharing.ask, sharing.make),
        look(run + "/marks.csv", reviews.export),
        Route(run + "/marks/withdraw", only_for(Role.ACT, access, reviews.withdraw), methods=["POST"]),
        Route(run + "/marks", only_for(Role.ACT, access, reviews.mark), methods=["POST"]),
        look(run + "/grid", trials.page),
        Route(run + "/grid/use", only_for(Role.ACT, access, trials.use), methods=["POST"]),
        Route(run + "/grid/marks", only_for(Role.ACT, access, trials.mark), methods=["POST"]),
        look(run + "/grid/{place:int}/{which:str}", trials.picture),
        look(run + "/report", report.page),
        look(run + "/report/objects/{number:int}", report.full),
        look(run + "/report/{name:str}", report.picture),
        show(run + picture, gallery.small),
        show(run + picture + "/full", gallery.full),
        *act(run + "/{action:str}", board.ask_run, board.do_run),
    ]
    handlers = {Refused: board.sorry, RestyleError: board.sorry, 404: board.sorry, 405: board.sorry, 500: board.sorry}
    return Starlette(
        routes=routes, exception_handlers=handlers, middleware=[Middleware(Guard, names=names)]
    )  # fmt: skip


def make_server(live: Live, access: Access, names: Names, host: str, port: int, ready: Callable[[int], None]) -> Server:
    """A server of the dashboard that is not running yet; port 0 takes any free one."""
    is_proxy = access.proxy.is_proxy if access.proxy else lambda _address: False
    return serve(create_app(live, access, names), live, host, port, ready, is_proxy)


def _by(identity: Identity) -> str:
    return f"{identity.name} (dashboard)"


def _found(known: dict[str, actions.Action], request: Request) -> actions.Action:
    if action := known.get(request.path_params["action"]):
        return action
    raise Refused(404, "There is no such page.")


def _own_path(path: str) -> str:
    """A path of this dashboard; anything else leads to the first page."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


def _int(text: str | None, default: int) -> int:
    try:
        return int(text or default)
    except ValueError:
        return default
