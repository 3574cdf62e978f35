"""Trusted certificates and proxies: one rule for the API, S3, links to pictures and webhooks.

Certificates: the first variable that is set of requests' and OpenSSL's, else the system's store, else certifi's.
Proxies: the environment as requests reads it (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY; NO_PROXY with hosts, suffixes and
IPv4 networks), and NO_PROXY with the port of an IP address too. A setting that cannot be used raises at the start of
the process, not in the middle of its work.
"""

from __future__ import annotations

import functools
import os
import re
import ssl
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

import certifi

from restyle.errors import ConfigurationError
from restyle.problems import printable

#: Variables that name certificates: requests' own (docs of requests, "SSL Cert Verification"), then OpenSSL's.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
#: Where systems keep the bundle that their administrators add to; Python may be built to use another.
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",  # older RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
    "/opt/homebrew/etc/openssl@3/cert.pem",  # Homebrew on Apple silicon
    "/usr/local/etc/openssl@3/cert.pem",  # Homebrew on Intel
)
#: How a directory names a certificate, so that OpenSSL finds it (openssl-rehash(1)).
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}


def authorities() -> str:
    """The file or directory of the certificates that TLS trusts.

    Raises:
        ConfigurationError: a variable names a path that does not exist or holds no certificate.
    """
    for name in CA_VARIABLES:
        if given := os.environ.get(name, ""):
            return _given(name, given)
    for path in (ssl.get_default_verify_paths().openssl_cafile, *_SYSTEM_BUNDLES):
        if path and not _fault(path):
            return path
    return certifi.where()


def authorities_from() -> str:
    """Where they come from: the name of a variable, "the system's store", or "certifi"."""
    chosen = next((name for name in CA_VARIABLES if os.environ.get(name)), "")
    return chosen or ("certifi" if authorities() == certifi.where() else "the system's store")


def _given(name: str, given: str) -> str:
    # OpenSSL takes several directories, requests one: the first that has certificates.
    places = given.split(os.pathsep) if name == "SSL_CERT_DIR" else [given]
    faults = []
    for place in places:
        path = str(Path(place).expanduser())
        if not (fault := _fault(path)):
            return path
        faults.append(f"{printable(place, 200)} {fault}")
    raise ConfigurationError(
        f"{name}: {'; '.join(faults)}. Set it to a PEM file with the certificates of the authorities to trust, or unset"
        " it to trust those of the system"
    )


def _fault(path: str) -> str:
    """Why a path holds no certificates; empty where it does."""
    try:
        changed = Path(path).stat().st_mtime_ns
        return _content_fault(path, changed)
    except FileNotFoundError:
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"


@functools.lru_cache(maxsize=32)
def _content_fault(path: str, _changed: int) -> str:
    """The same, by its content. That takes 20 ms for a system's bundle, so it is kept until the path changes."""
    if Path(path).is_dir():
        named = any(_HASHED.fullmatch(entry.name) for entry in Path(path).iterdir())
        return "" if named else f"holds no certificate that is named by its hash (openssl rehash {path} names them)"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        return "holds no certificate in PEM form"
    return "" if context.cert_store_stats()["x509"] else "holds no certificate in PEM form"


def check_address(url: str) -> None:
    """Raises ConfigurationError unless an address is http or https with a host."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        shown = printable(url, 200)
        raise ConfigurationError(f"{shown!r} is no address of an API: write it like https://api.example/v1/MODEL")


@dataclass(frozen=True)
class Proxy:
    """The proxy by which an address is reached."""

    url: str = field(repr=False)
    """With its scheme, and the user and password in it, if any."""
    name: str
    """Host and port, which may be logged."""
    variable: str
    """The variable of the environment that names it."""


def proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment names for an address; None: a direct connection.

    Raises:
        ConfigurationError: it cannot be used; the message names the variable, and never the password.
    """
    environment = getproxies()
    if not environment or _is_excepted(url, environment.get("no", "")):
        return None
    # Imported only where there is one: it takes 4 MB.
    from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

    proxies = get_environ_proxies(url)
    chosen = select_proxy(url, proxies)
    if not chosen:
        return None
    scheme = urlsplit(url).scheme
    variable = _variable(f"{scheme}_proxy" if scheme in proxies else "all_proxy")
    try:
        whole = str(prepend_scheme_if_needed(chosen, "http"))  # type: ignore[no-untyped-call] # requests has no types here
        parts = urlsplit(whole)
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"{variable} is no address of a proxy; {_FORM}") from None
    host = parts.hostname or ""
    name = printable(f"[{host}]" if ":" in host else host, 200) + f":{port or _PORTS.get(parts.scheme, 0)}"
    _check(parts, name, variable)
    return Proxy(whole, name, variable)


def _is_excepted(url: str, excepted: str) -> bool:
    """Whether NO_PROXY names an address with its port, which requests overlooks where the host is an IP address."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    address = f"{host}:{parts.port or _PORTS.get(parts.scheme)}"
    return address in {entry.strip().lower() for entry in excepted.split(",")}


_FORM = "write it like http://proxy.example:3128 or http://USER:PASSWORD@proxy.example:3128, or unset it"


def _check(parts: SplitResult, name: str, variable: str) -> None:
    if not parts.hostname:
        raise ConfigurationError(f"{variable} names no host; {_FORM}")
    if parts.scheme not in _PORTS:
        raise ConfigurationError(f"{variable} names a proxy of {printable(parts.scheme, 40)}://; {_FORM}")
    if parts.scheme.startswith("socks") and find_spec("socks") is None:
        raise ConfigurationError(
            f"{variable} names the SOCKS proxy {name}, for which the package PySocks is missing: install it where"
            f" restyle is (pip install PySocks), or use a proxy that speaks HTTP: {_FORM}"
        )


def _variable(name: str) -> str:
    """The variable's name in the case that the environment has it in."""
    spelled = next((given for given in os.environ if given.lower() == name and os.environ[given]), None)
    return spelled or f"{name.upper()} (of the system's settings)"
