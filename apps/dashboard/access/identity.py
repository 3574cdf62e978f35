"""Who asks: signed in with a token, named by a proxy, or the one who started a dashboard that listens to this machine.

Two tokens, two roles: whoever looks sees every page, whoever acts presses the buttons too. A handler is given an
`Identity`, so that none can run without one.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum

from starlette.requests import Request

from restyle.errors import ConfigurationError

MIN_TOKEN = 16
#: Seconds for which somebody stays signed in.
SIGNED_IN = 12 * 3600
#: Wrong tokens a minute from one address, after which further wrong ones have to wait. The right one always works.
MAX_WRONG = 10
#: Addresses whose wrong tokens are remembered, and sessions that are kept; the oldest go first.
MAX_ADDRESSES, MAX_SESSIONS = 1_000, 10_000
MAX_NAME = 60
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Role(StrEnum):
    """What somebody may do."""

    LOOK = "look"
    ACT = "act"


@dataclass(frozen=True)
class Identity:
    """Somebody who was let in."""

    name: str
    role: Role
    is_guest: bool = False
    """Whether they have followed a link to one run, and see nothing else."""

    @property
    def may_act(self) -> bool:
        """Whether buttons are theirs to press."""
        return self.role is Role.ACT


class Refused(Exception):
    """The request is not answered; the text says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class TrustedProxy:
    """A proxy that signs people in itself and names them in a header, which is believed from its addresses alone."""

    header: str
    addresses: tuple[Network, ...]
    #: Who may act; `*` is everybody whom the proxy lets in. All others look.
    actors: frozenset[str]

    def identity(self, request: Request) -> Identity | None:
        """Whom the proxy names; None where the request did not come from it, or it names nobody."""
        names = request.headers.getlist(self.header)
        name = _name_of(names[0]) if len(names) == 1 else ""
        if not name or not self.is_proxy(request.client.host if request.client else ""):
            return None
        return Identity(name, Role.ACT if {name, "*"} & self.actors else Role.LOOK)

    def is_proxy(self, address: str) -> bool:
        """Whether a connection comes from the proxy."""
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(peer, "ipv4_mapped", None)
        return any((mapped or peer) in network for network in self.addresses)


@dataclass
class Access:
    """Knows who has signed in, and how."""

    #: Whose doings they are where nobody signs in: user@host.
    owner: str
    token: str | None = None
    #: With this one people look, and press no button.
    view_token: str | None = None
    proxy: TrustedProxy | None = None
    #: Whether browsers come over TLS, so that cookies are sent over nothing else.
    is_secure: bool = False
    #: Of this process alone.
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _signed_in: OrderedDict[str, tuple[Identity, float]] = field(default_factory=OrderedDict)
    _wrong: OrderedDict[str, list[float]] = field(default_factory=OrderedDict)

    @property
    def asks(self) -> bool:
        """Whether anybody has to sign in."""
        return self.token is not None or self.proxy is not None

    def cookie(self, request: Request) -> str:
        """The cookie's name.

        With the prefix, browsers keep it to this host and to TLS (RFC 6265bis, 4.1.3.2). Without, they share cookies
        among the ports of a host, so the port is in the name.
        """
        return "__Host-restyle" if self.is_secure else f"restyle_{request.url.port or 80}"

    def who(self, request: Request) -> Identity | None:
        """Who asks; None where they have to sign in first."""
        if not self.asks:
            return Identity(self.owner, Role.ACT)
        if self.proxy and (named := self.proxy.identity(request)):
            return named
        identity, until = self._signed_in.get(_sha(request.cookies.get(self.cookie(request), "")), (None, 0.0))
        return identity if time.monotonic() < until else None

    def sign_in(self, name: str, token: str, address: str) -> str:
        """Checks the token; answers with the cookie's value.

        Raises:
            Refused: the token is wrong, or no name is given.
        """
        role = self._role(token)
        if role is None:
            raise self._refusal(address)
        name = clean_name(name)
        if not name:
            raise Refused(400, "Say who you are: it is written down beside what you do.")
        value = secrets.token_urlsafe(32)
        self._signed_in[_sha(value)] = (Identity(name, role), time.monotonic() + SIGNED_IN)
        while len(self._signed_in) > MAX_SESSIONS:
            self._signed_in.popitem(last=False)
        return value

    def sign_out(self, request: Request) -> None:
        """Forgets who asks."""
        self._signed_in.pop(_sha(request.cookies.get(self.cookie(request), "")), None)

    def form_token(self, request: Request) -> str:
        """What every form of ours carries, and no other site can know: bound to the session, or to the proxy's user."""
        named = self.proxy.identity(request) if self.proxy else None
        bound = named.name if named else request.cookies.get(self.cookie(request), "") if self.asks else ""
        return hmac.new(self.secret, bound.encode(), hashlib.sha256).hexdigest()

    def _role(self, token: str) -> Role | None:
        """The role of a token; both are compared in full, so that the time of an answer tells nothing."""
        known = {Role.LOOK: self.view_token, Role.ACT: self.token}
        roles = [role for role, right in known.items() if right and hmac.compare_digest(_sha(token), _sha(right))]
        return roles[-1] if roles else None

    def _refusal(self, address: str) -> Refused:
        """What a wrong token is answered with."""
        now, address = time.monotonic(), neighbourhood(address)
        recent = [moment for moment in self._wrong.pop(address, []) if now - moment < 60][-MAX_WRONG:]
        self._wrong[address] = [*recent, now]
        while len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)
        if len(recent) >= MAX_WRONG:
            return Refused(429, "Too many wrong tokens. Wait a minute, then try again.")
        return Refused(401, "That token is wrong. It is the value of RESTYLE_DASHBOARD_TOKEN.")


def clean_name(name: str) -> str:
    """Somebody's name as it is shown and written down: printable, and of bounded length."""
    return "".join(char for char in name[: 4 * MAX_NAME] if char.isprintable()).strip()[:MAX_NAME]


def _name_of(header: str) -> str:
    """The name in a proxy's header, in UTF-8; empty where it is none as it stands.

    Nothing is taken off it: what is left could be the name of another, who may act.
    """
    try:
        name = header.encode("latin-1").decode()
    except UnicodeError:
        return ""
    return name if clean_name(name) == name else ""


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    if host in _LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_access(host: str, access: Access) -> None:
    """Whether this address may be listened on with this access.

    Raises:
        ConfigurationError: nobody would have to sign in where somebody must, or a token is too short, or they are the
            same.
    """
    hint = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"
    if not access.asks and not is_loopback(host):
        raise ConfigurationError(
            f"--host {host} is open to other machines: set RESTYLE_DASHBOARD_TOKEN, which people sign in with; {hint}"
        )
    for name, token in {"TOKEN": access.token, "VIEW_TOKEN": access.view_token}.items():
        if token is not None and len(token) < MIN_TOKEN:
            raise ConfigurationError(f"RESTYLE_DASHBOARD_{name} has less than {MIN_TOKEN} characters; {hint}")
    if access.view_token is not None and access.token is None and access.proxy is None:
        raise ConfigurationError(
            "RESTYLE_DASHBOARD_VIEW_TOKEN is set without RESTYLE_DASHBOARD_TOKEN, so that nobody could press a button;"
            " set both"
        )
    if access.view_token is not None and access.view_token == access.token:
        raise ConfigurationError("RESTYLE_DASHBOARD_VIEW_TOKEN and RESTYLE_DASHBOARD_TOKEN must differ")


def read_proxy(header: str | None, addresses: str, actors: str) -> TrustedProxy | None:
    """The proxy of the settings; None where none is trusted.

    Raises:
        ConfigurationError: a header without addresses, or an address that is none.
    """
    if not header:
        return None
    listed = [address.strip() for address in addresses.split(",") if address.strip()]
    if not listed:
        raise ConfigurationError(
            f"RESTYLE_DASHBOARD_TRUST is {header}: set RESTYLE_DASHBOARD_PROXIES to the addresses of the proxy that"
            " sends it; from anywhere else it is not believed"
        )
    try:
        networks = tuple(ipaddress.ip_network(address) for address in listed)
    except ValueError as error:
        raise ConfigurationError(
            f"RESTYLE_DASHBOARD_PROXIES: {error}; it takes addresses such as 10.0.0.5/32"
        ) from None
    return TrustedProxy(header, networks, frozenset(filter(None, (actor.strip() for actor in actors.split(",")))))


def neighbourhood(address: str) -> str:
    """What is bounded as one: an address of IPv4, of IPv6 a network of 64 bits, of which one machine has all."""
    try:
        peer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(peer, ipaddress.IPv6Address):
        return str(peer)
    return str(peer.ipv4_mapped or ipaddress.IPv6Network((peer, 64), strict=False))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
