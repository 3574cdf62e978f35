"""Signing in and out of the dashboard."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from apps.dashboard.access.identity import Access, Identity, Refused
from apps.dashboard.access.security import Names, read_form
from apps.dashboard.pages import html


class SignIn:
    """Answers for those who are not known yet."""

    def __init__(self, access: Access, names: Names) -> None:
        self.access, self.names = access, names

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


def _own_path(path: str) -> str:
    """A path of this dashboard; anything else leads to the first page."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
