"""What stands before every page: the host that was requested, the headers of each answer, and forms that are ours."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.dashboard.access.identity import Access, Identity, Refused, Role, is_loopback
from restyle.errors import ConfigurationError

MAX_FORM_BYTES = 16_384
#: Seconds within which a form has to arrive.
FORM_SECONDS = 10.0
#: Fields of a form, and its files; bytes of one with files, and the seconds that it may take.
MAX_FIELDS, MAX_FILES, MAX_UPLOAD_BYTES, UPLOAD_SECONDS = 80, 4, 32_000_000, 120.0
_LATE = "This form did not arrive in time."

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
#: For a year, browsers ask for nothing but TLS (RFC 6797).
_STRICT_TRANSPORT = "max-age=31536000"
#: A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port (RFC 9110, 7.2; RFC 3986, 3.2.2).
_HOST = re.compile(
    r"(?P<name>[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
#: What a platform asks for, by address rather than by name; it tells nothing of the runs.
PATHS = frozenset({"/healthz", "/readyz"})

#: What comes before the proof in an address.
_SEAL = "&seal="

Handler = Callable[[Request, Identity], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]
#: What a page has around it for its viewer.
Frame = Callable[[Request, Identity], dict[str, Any]]


@dataclass(frozen=True)
class Names:
    """The names that this dashboard goes by."""

    names: frozenset[str]
    #: Whether it listens beyond this machine, so that requests may name it by an address.
    is_open: bool
    #: The address that browsers have, e.g. https://restyle.shop.example; empty where it is not known.
    public: str = ""

    def knows(self, header: str) -> bool:
        """Whether the Host header names this dashboard, and no name that somebody pointed here (DNS rebinding)."""
        host = _HOST.fullmatch(header.lower())
        if host is None or int(host["port"] or 80) > 65_535:
            return False
        name = host["name"].strip("[]")
        if name in self.names:
            return True
        try:
            # An address cannot be pointed elsewhere. On loopback only its own names are good.
            return self.is_open and bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def is_origin(self, origin: str, host: str) -> bool:
        """Whether a form's Origin header is of this dashboard, as it was requested."""
        if self.public and host.lower() == urlsplit(self.public).netloc.lower():
            return origin.lower() == self.public.lower()
        return origin.partition("://")[2] == host


def own_names(host: str, others: Iterable[str], public: str | None) -> Names:
    """The names that a Host header may have.

    Raises:
        ConfigurationError: the public address is none.
    """
    names = {name.lower() for name in (host, *others)} | {"localhost", "127.0.0.1", "::1"}
    if not is_loopback(host):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    if public:
        split = urlsplit(public)
        if split.scheme not in {"http", "https"} or not split.hostname or split.path.strip("/") or split.query:
            raise ConfigurationError(
                f"RESTYLE_DASHBOARD_URL is {public!r}; it takes the address that browsers have, such as"
                " https://restyle.shop.example"
            )
        names.add(split.hostname)
    return Names(frozenset(names), not is_loopback(host), (public or "").rstrip("/"))


class Guard:
    """Stands before the router: refuses other hosts, adds the headers."""

    def __init__(self, app: ASGIApp, names: Names) -> None:
        self.app = app
        self.names = names

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
                if self.names.public.startswith("https:"):
                    headers.setdefault("strict-transport-security", _STRICT_TRANSPORT)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await (self._refusal(scope) or self.app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        # The router's own path: one that is put together from the Host header can be another.
        if scope["path"] in PATHS:
            return None
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and self.names.knows(hosts[0]):
            return None
        return PlainTextResponse(
            "This is no name of the dashboard. To reach it by this name: restyle dashboard --allow-host NAME\n", 421
        )


def only_for(role: Role, access: Access, handler: Handler) -> Endpoint:
    """An endpoint that lets nobody in but those who have this role."""

    async def endpoint(request: Request) -> Response:
        identity = access.who(request)
        if identity is None:
            return ask_to_sign_in(request)
        if role is Role.ACT and not identity.may_act:
            raise Refused(403, f"{identity.name} may look here, and press no button.")
        return await handler(request, identity)

    return endpoint


def ask_to_sign_in(request: Request) -> Response:
    """Leads to the sign-in; what is no page is refused."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"/sign-in?next={quote(request.scope['path'])}", 303)
    return PlainTextResponse("Sign in first.\n", 401)


@dataclass(frozen=True)
class Upload:
    """A file that somebody chose in a form."""

    name: str
    data: bytes


def seal(address: str, request: Request, access: Access) -> str:
    """An address of ours that tells how a press went, with the proof that this session pressed."""
    return f"{address}{_SEAL}{_proof(address, request, access)}"


def is_sealed(request: Request, access: Access) -> bool:
    """Whether a press of this session led to this address: a link of somebody else's is to show no word of ours."""
    query = request.scope["query_string"].decode("latin-1")
    address, _, proof = f"{request.scope['path']}?{query}".partition(_SEAL)
    return hmac.compare_digest(proof.encode(), _proof(address, request, access).encode())


def _proof(address: str, request: Request, access: Access) -> str:
    return hmac.new(access.form_token(request).encode(), address.encode(), hashlib.sha256).hexdigest()[:32]


async def read_form(request: Request, access: Access, names: Names) -> dict[str, str]:
    """The fields of a form that one of our pages sent.

    Raises:
        Refused: another site sent it, it is no such form, or it does not arrive.
    """
    _check_origin(request, names)
    body = await _arrived(request, MAX_FORM_BYTES, FORM_SECONDS)
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise Refused(400, "This form cannot be read.") from None
    _check_token(fields, request, access)
    return fields


async def read_upload(request: Request, access: Access, names: Names) -> tuple[dict[str, str], dict[str, Upload]]:
    """The fields of a form with files, and the files that were chosen.

    Raises:
        Refused: another site sent it, it is no such form, or it does not arrive.
    """
    _check_origin(request, names)
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data;"):
        return await read_form(request, access, names), {}
    parser = MultiPartParser(
        request.headers, _pieces(request, MAX_UPLOAD_BYTES), max_files=MAX_FILES, max_fields=MAX_FIELDS,
        max_part_size=MAX_FORM_BYTES,
    )  # fmt: skip
    fields: dict[str, str] = {}
    files: dict[str, Upload] = {}
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            form = await parser.parse()
            for name, part in form.multi_items():
                if isinstance(part, str):
                    fields[name] = part
                elif part.filename and (data := await part.read()):
                    files[name] = Upload(part.filename, data)
            await form.close()
    except MultiPartException:
        raise Refused(400, "This form cannot be read.") from None
    except TimeoutError:
        raise Refused(408, _LATE) from None
    _check_token(fields, request, access)
    return fields, files


def _check_origin(request: Request, names: Names) -> None:
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Refused(403, "This form came from another site.")
    if origin is not None and not names.is_origin(origin, request.headers.get("host", "")):
        raise Refused(403, "This form came from another site.")


def _check_token(fields: Mapping[str, str], request: Request, access: Access) -> None:
    if not hmac.compare_digest(fields.get("form_token", "").encode(), access.form_token(request).encode()):
        raise Refused(403, "This form is stale, or not one of ours. Go back, reload the page and try again.")


async def _arrived(request: Request, most: int, seconds: float) -> bytes:
    """The body of a request, within bounds."""
    try:
        async with asyncio.timeout(seconds):
            return b"".join([piece async for piece in _pieces(request, most)])
    except TimeoutError:
        raise Refused(408, _LATE) from None


async def _pieces(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body of a request as it arrives, so many bytes of it at most."""
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise Refused(413, "This form is too large.")
        yield piece
