"""Which addresses everybody reaches, and which nobody is sent to: for whatever address comes from outside.

A worker stands where outsiders do not: beside a cloud's metadata, inner services, its own machine. So an address that
others choose is judged as it is written and as its name is looked up, and a connection leads to what was judged, with
no look-up in between.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

#: Seconds for a look-up of which a proxy does not need the answer.
_LOOK_UP = 3.0

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: What is assigned of IPv6 to be reached from everywhere (RFC 4291); all else is local, of old, or not given out yet.
_GIVEN_OUT = ipaddress.ip_network("2000::/3")
#: What lies within what is given out, and is not known as local to each version of Python that we run on.
_LOCAL = tuple(
    ipaddress.ip_network(net)
    for net in ("3fff::/20", "192.88.99.0/24")  # RFC 9637, RFC 7526
)

#: Where clouds keep what a machine may do, beside the own link: AWS by IPv6, Azure, Alibaba.
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "168.63.129.16", "100.100.100.200")))

#: A name that every reader of addresses reads alike (RFC 1123; with the underscore of RFC 2782).
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\Z")
#: What resolvers take for an address of IPv4: up to four numbers, of any of C's bases.
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+)){0,3}\Z")

#: What `inner_address` says of a name that two readers might read differently.
NO_HOST = "no name of a host"

#: Whether an address may be connected to.
May = Callable[[str], bool]
#: Where a name leads; nowhere, where it cannot be looked up.
Names = Callable[[str, int], list[str]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_public(address: str) -> bool:
    """Whether an address of the network is one that everybody reaches; what stands for another goes by that one."""
    meant = _meant(address)
    if meant is None or meant in _METADATA or meant.is_multicast or any(meant in net for net in _LOCAL):
        return False
    return meant.is_global and (meant.version == 4 or meant in _GIVEN_OUT)


def keeps_credentials(address: str) -> bool:
    """Whether what a machine may do is kept at an address: of the own link, or a cloud's, however it is written."""
    meant = _meant(address)
    return meant is not None and (meant.is_link_local or meant in _METADATA)


def _meant(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that one stands for; None where it is none."""
    try:
        written = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if not isinstance(written, ipaddress.IPv6Address):
        return written
    if written in _NAT64:
        return ipaddress.IPv4Address(int(written) & 0xFFFFFFFF)
    return written.ipv4_mapped or written.sixtofour or (written.teredo[1] if written.teredo else None) or written


def spelled(host: str) -> str:
    """The address that a host's name itself spells, as resolvers read it; empty where it is a name to be looked up."""
    name = _plain(host)
    if name == "localhost" or name.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name)) if _NUMBERS.match(name) else ""
    except OSError:
        return ""


def inner_address(host: str, port: int, *, is_proxied: bool, may: May = is_public, names: Names | None = None) -> str:
    """What a host leads to that may not be connected to; empty where nothing of that kind is known.

    A name that cannot be looked up is none: connecting says so. By a proxy it is the proxy that looks names up, and it
    may know more of them than this machine; what leads inside from here is refused all the same.

    Args:
        host: as it stands in an address.
        port: the same.
        is_proxied: whether a proxy connects to it.
        may: what may be connected to; default: what everybody reaches.
        names: looks names up; default: as the system does.
    """
    address = spelled(host)
    if address:
        return "" if may(address) else address
    name = _plain(host)
    if not _HOST.match(name) or _NUMBERS.match(name):
        return NO_HOST
    look_up = names or (_shortly if is_proxied else addresses)
    return next((address for address in look_up(name, port) if not may(address)), "")


def reachable(host: str, port: int, *, allowed: Sequence[Network] = (), names: Names | None = None) -> Sequence[str]:
    """The addresses that a host stands for, looked up once, for a connection to lead to one of them and nowhere else.

    Args:
        host: as it stands in an address.
        port: the same.
        allowed: inner networks that are reached all the same.
        names: looks names up; default: as the system does.

    Raises:
        OSError: it cannot be looked up, or one of them is an inner address: then all of it is.
    """
    address, name = spelled(host), _plain(host)
    if not address and (not _HOST.match(name) or _NUMBERS.match(name)):
        raise OSError(NO_HOST)
    resolved = [address] if address else (names or addresses)(name, port)
    if not resolved:
        raise OSError("Failed to resolve")
    if inner := next((one for one in resolved if not is_public(one) and not is_in(one, allowed)), ""):
        raise OSError(f"{inner} is an inner address")
    return resolved


def read_networks(text: str) -> tuple[Network, ...]:
    """Networks and addresses with commas between.

    Raises:
        ValueError: one of them is none.
    """
    given = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(part, strict=False) for part in given)
    except ValueError as error:
        raise ValueError(f"{error}; write addresses or networks like 10.20.0.0/16, with commas between") from None


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address lies in one of the networks."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return any((inner or parsed) in network for network in networks)


def addresses(host: str, port: int) -> list[str]:
    """Where a name leads; nowhere, where it cannot be looked up just now."""
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError):
        return []
    return [str(address[0]) for *_, address in answers]


def check_no_credentials(connection: HTTPConnection) -> None:
    """Looks once more at where a connection leads, where inner addresses may be connected to but for some.

    Raises:
        OSError: it leads to where credentials are kept; nothing is to be sent.
    """
    peer = str(connection.sock.getpeername()[0])
    if keeps_credentials(peer):
        raise OSError(f"{peer} is where a machine's credentials are kept")


def _plain(host: str) -> str:
    """A host's name in small letters of ASCII, as what connects writes it; without brackets and a last dot."""
    name = host.removeprefix("[").removesuffix("]")
    try:
        name = name.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return name.lower().removesuffix(".")


def _shortly(host: str, port: int) -> list[str]:
    """The same as `addresses`, for a few seconds: machines behind a proxy often cannot look names up at all."""
    resolved: list[str] = []
    look = threading.Thread(target=lambda: resolved.extend(addresses(host, port)), daemon=True)
    look.start()
    look.join(_LOOK_UP)
    return list(resolved)
