"""Links to one run for people without a sign-in: they look at its pictures until the link ends, and at nothing else.

A link bears the run, its end, and a signature of both. Who follows it gets a cookie that says the same; only the pages
of a shared run ask for that cookie (`shared` below), so that no other page can be opened by it.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from starlette.requests import Request
from starlette.responses import Response

from apps.dashboard.access.identity import Access, Identity, Role
from apps.dashboard.access.security import Endpoint, Handler, ask_to_sign_in
from restyle.run_ids import is_run_id

#: Days for which a run can be shared.
DAYS = (1, 7, 30)
_DIGITS = 12


@dataclass(frozen=True)
class Shares:
    """Makes links and knows its own again.

    They are signed with a key made of the dashboard's token, so that they outlast a restart and end with that token.
    Where only a proxy signs people in there is none, and they end with the dashboard.
    """

    access: Access
    workspace: str
    clock: Callable[[], float] = time.time

    @cached_property
    def _key(self) -> bytes:
        """Slow to make, so that nobody finds a token by trying which one makes the key of their link."""
        token = self.access.token
        if token is None:
            return self.access.secret
        return hashlib.scrypt(token.encode(), salt=self.workspace.encode(), n=1 << 14, r=8, p=1, dklen=32)

    def made(self, run_id: str, days: int) -> str:
        """What a link to a run says; it ends after so many days."""
        until = int(self.clock()) + days * 86_400
        return f"{run_id}:{until}:{self._signature(run_id, until)}"

    def run_of(self, text: str) -> str:
        """The run that a link is to; empty where it is none of ours, or has ended."""
        run_id, _, rest = text.partition(":")
        digits, _, signature = rest.partition(":")
        if not (is_run_id(run_id) and digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS):
            return ""
        is_ours = hmac.compare_digest(self._signature(run_id, int(digits)).encode(), signature.encode(errors="replace"))
        return run_id if is_ours and self.clock() < int(digits) else ""

    def until(self, text: str) -> int:
        """When a link ends, in Unix seconds; of one that is ours."""
        return int(text.split(":")[1])

    def cookie(self, request: Request) -> str:
        """The name of the cookie that a link becomes."""
        return f"{self.access.cookie(request)}-shared"

    def guest(self, request: Request) -> Identity | None:
        """Who looks at this run by a link; None where the request is for another run, or without one."""
        run_id = self.run_of(request.cookies.get(self.cookie(request), ""))
        here = request.path_params.get("run")
        return Identity("a guest", Role.LOOK, is_guest=True) if run_id and run_id == here else None

    def _signature(self, run_id: str, until: int) -> str:
        signed = f"restyle-share\0{self.workspace}\0{run_id}\0{until}"
        return hmac.new(self._key, signed.encode(), hashlib.sha256).hexdigest()


def shared(shares: Shares, handler: Handler) -> Endpoint:
    """An endpoint for those who look, and for guests of the run that is requested."""

    async def endpoint(request: Request) -> Response:
        identity = shares.access.who(request) or shares.guest(request)
        return await handler(request, identity) if identity else ask_to_sign_in(request)

    return endpoint
