"""Who may see and press what: the host that was asked for, signing in, forms that are ours, and the headers.

By default the dashboard listens to this machine alone and asks for nothing. With a token, which any other address
needs, people sign in with it and with their name, which is written down beside what they do.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from restyle.errors import ConfigurationError

MIN_TOKEN = 16
#: Seconds for which somebody stays signed in.
SIGNED_IN = 12 * 3600
#: Wrong tokens a minute, by everybody together, after which nobody may try for the rest of it.
MAX_WRONG = 10
MAX_FORM_BYTES = 16_384
MAX_NAME = 60

#: What every answer carries.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer", under which browsers send our own forms with `Origin: null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: What a browser may ask for before anybody has signed in.
_OPEN = ("/sign-in", "/static/")
#: What a platform asks for, by address rather than by name; it tells nothing of the runs.
PATHS = frozenset({"/healthz", "/readyz"})


class Refused(Exception):
    """The request is not answered; the text says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    if host in _LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(host: str, token: str | None) -> None:
    """Raises where this address may not be listened on with this token.

    Raises:
        ConfigurationError: there is no token where one is needed, or it is too short.
    """
    hint = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"
    if token is None and not is_loopback(host):
        raise ConfigurationError(
            f"--host {host} is open to other machines: set RESTYLE_DASHBOARD_TOKEN, which people sign in with; {hint}"
        )
    if token is not None and len(token) < MIN_TOKEN:
        raise ConfigurationError(f"RESTYLE_DASHBOARD_TOKEN has less than {MIN_TOKEN} characters; {hint}")


@dataclass
class Doorkeeper:
    """Knows who has signed in, and which names this dashboard goes by."""

    token: str | None
    #: Whose doings they are where nobody signs in: user@host.
    owner: str
    hosts: frozenset[str]
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _signed_in: dict[str, tuple[str, float]] = field(default_factory=dict)
    _wrong: deque[float] = field(default_factory=deque)

    def knows_host(self, header: str) -> bool:
        """Whether the Host header names this dashboard, and no name that somebody pointed here (DNS rebinding)."""
        name = _host(f"//{header}")
        if name in self.hosts:
            return True
        try:
            # An address cannot be pointed elsewhere. On loopback only its own names are good.
            return self.token is not None and bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def cookie(self, request: Request) -> str:
        """The cookie's name: browsers share cookies among the ports of a host."""
        return f"restyle_{request.url.port or 80}"

    def who(self, request: Request) -> str | None:
        """Who asks; None where they have to sign in first."""
        if self.token is None:
            return self.owner
        name, until = self._signed_in.get(self._sha(request.cookies.get(self.cookie(request), "")), ("", 0.0))
        return name if name and time.monotonic() < until else None

    def sign_in(self, name: str, token: str) -> str:
        """Checks the token; answers with the cookie's value.

        Raises:
            Refused: the token is wrong, or too many were.
        """
        now = time.monotonic()
        while self._wrong and now - self._wrong[0] > 60:
            self._wrong.popleft()
        if len(self._wrong) >= MAX_WRONG:
            raise Refused(429, "Too many wrong tokens. Wait a minute, then try again.")
        if self.token is None or not hmac.compare_digest(self._sha(token), self._sha(self.token)):
            self._wrong.append(now)
            raise Refused(401, "That token is wrong. It is the value of RESTYLE_DASHBOARD_TOKEN.")
        name = "".join(char for char in name if char.isprintable()).strip()[:MAX_NAME]
        if not name:
            raise Refused(400, "Say who you are: it is written down beside what you do.")
        self._signed_in = {key: entry for key, entry in self._signed_in.items() if entry[1] > now}
        value = secrets.token_urlsafe(32)
        self._signed_in[self._sha(value)] = (name, now + SIGNED_IN)
        return value

    def sign_out(self, request: Request) -> None:
        """Forgets who asks."""
        self._signed_in.pop(self._sha(request.cookies.get(self.cookie(request), "")), None)

    def form_token(self, request: Request) -> str:
        """What every form of ours carries, and no other site can know."""
        cookie = request.cookies.get(self.cookie(request), "") if self.token else ""
        return hmac.new(self._secret, cookie.encode(), hashlib.sha256).hexdigest()

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form that one of our pages sent.

        Raises:
            Refused: another site sent it, or it is no such form.
        """
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise Refused(403, "This form came from another site.")
        if origin is not None and origin.partition("://")[2] != host:
            raise Refused(403, "This form came from another site.")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                raise Refused(413, "This form is too large.")
        try:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))
        except ValueError:
            raise Refused(400, "This form cannot be read.") from None
        if not hmac.compare_digest(fields.get("form_token", "").encode(), self.form_token(request).encode()):
            raise Refused(403, "This form is stale, or not one of ours. Go back, reload the page and try again.")
        return fields

    @staticmethod
    def _sha(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()


def _host(url: str) -> str:
    """The host of an address; nothing where it is none."""
    try:
        split = urlsplit(url)
        return (split.hostname or "") if split.port != 0 else ""
    except ValueError:
        return ""


def own_names(host: str, others: Iterable[str]) -> frozenset[str]:
    """The names that a Host header may have."""
    names = {name.lower() for name in (host, *others)} | _LOOPBACK
    if not is_loopback(host):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(names)


class Guard:
    """Stands before every page: checks the host, asks to sign in, adds the headers."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper) -> None:
        self.app = app
        self.doorkeeper = doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)  # the report's page has a policy of its own
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._refusal(Request(scope)) or self.app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if request.url.path in PATHS:
            return None
        if not self.doorkeeper.knows_host(request.headers.get("host", "")):
            return PlainTextResponse(
                "This is no name of the dashboard. To reach it by this name: restyle dashboard --allow-host NAME\n", 421
            )
        path = request.url.path
        if path.startswith(_OPEN) or self.doorkeeper.who(request) is not None:
            return None
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(f"/sign-in?next={quote(path)}", 303)
        return PlainTextResponse("Sign in first.\n", 401)
