"""The buttons of runs and fleets: each is asked once what it means, and then does it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from apps.approving import pending_by_variant
from apps.dashboard.access.identity import Access, Identity, Refused
from apps.dashboard.access.security import Frame, Names, is_sealed, read_form, seal
from apps.dashboard.acts import actions
from apps.dashboard.live import Live
from apps.dashboard.pages import html, phrases
from apps.views.overview import Side


class Presses:
    """Answers for the buttons."""

    def __init__(self, live: Live, access: Access, names: Names, frame: Frame) -> None:
        self.live, self.access, self.names, self.frame = live, access, names, frame

    async def ask_run(self, request: Request, identity: Identity) -> Response:
        """`GET /runs/{run}/{action}`: asks once."""
        side, row = await self.live.row(request.path_params["run"])
        action = _found(actions.RUN_ACTIONS, request)
        if action not in actions.of_run(row):
            raise Refused(409, f"Run {row.run.run_id} is {phrases.words(row.status)}: this does not apply now.")
        about = f"{row.name} · {row.run.run_id}"
        counts = actions.again(row) if action.name == "retry" else {}
        parts: dict[str, str] = {}
        if action.name == "approve":
            left = await self.live.call(lambda: pending_by_variant(side.session, row.run))
            parts = {name: html.priced(count, row.run, self.live.settings) for name, count in sorted(left.items())}
        again = {name: html.priced(count, row.run, self.live.settings) for name, count in counts.items()}
        page = html.single(
            "ask", action=action, about=about, cost=html.cost_of(action.name, row, self.live.settings),
            back=f"/runs/{row.run.run_id}", here="run", again=again, parts=parts,
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
        return RedirectResponse(seal(f"/runs/{goes_to}?said={action.name}", request, self.access), 303)

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
        return RedirectResponse(seal(f"/fleet?said={action.name}", request, self.access), 303)

    def _side(self, request: Request) -> Side:
        for side in self.live.sides:
            if side.name == request.path_params["side"]:
                return side
        raise Refused(404, "There is no such fleet.")


def pressed(request: Request, access: Access) -> str:
    """What somebody has pressed, who is led back to a page."""
    return request.query_params.get("said", "") if is_sealed(request, access) else ""


def _by(identity: Identity) -> str:
    return f"{identity.name} (dashboard)"


def _found(known: dict[str, actions.Action], request: Request) -> actions.Action:
    if action := known.get(request.path_params["action"]):
        return action
    raise Refused(404, "There is no such page.")
