"""The short way to S3: one signed GET, HEAD or PUT over a pool of connections, for the requests of every job.

botocore spends 0.9 ms of CPU on a request, of which the network's part is 0.2: rules, hooks and parsers that this way
leaves out. It learns from botocore itself where a bucket lies and how requests to it are signed, signs with
botocore's credentials, refreshed as they are there, and answers only what needs no thought: success, and a key that
is missing. Everything else goes the long way, with its retries, redirects and error messages; so does every bucket
that is behind a proxy or is signed in another manner. Why: docs/decisions/0015-short-way-to-s3.md.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from httptools import HttpParserError

from restyle.exchange import Answer, Host
from restyle.sigv4 import Signatory, sign

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: What of a key stands unquoted in its URL, as S3's signature demands.
_SAFE = "/~"
#: Left out of the Host header.
_PORTS = {"http": 80, "https": 443}
_UNSIGNED = {"user-agent": "restyle", "accept-encoding": "identity"}
_OPERATIONS = ("GetObject", "HeadObject", "PutObject")


@dataclass(frozen=True)
class Route:
    """The way to a bucket: its host, also as it is called, what its keys are put behind there, and who signs."""

    host: Host
    name: str
    path: str
    signer: Any
    service: str
    region: str

    def signatory(self) -> Signatory:
        """Who signs, asked for each time, since botocore renews credentials."""
        keys = self.signer.get_auth_instance(self.service, self.region, "s3v4").credentials
        return Signatory(keys.access_key, keys.secret_key, keys.token, self.region, self.service)


@dataclass(frozen=True)
class Reply:
    """A success (200), or a key that is missing (404)."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    data: bytes


class TooLarge(Exception):
    """The object is larger than was asked for; its size in bytes."""


class Signed:
    """The short way beside a boto3 client. Safe to share among threads."""

    def __init__(self, client: S3Client, *, connections: int, ca_bundle: str | None) -> None:
        self._routes: dict[str, Route] = {}
        self._hosts: dict[str, Host] = {}
        self._lock = threading.Lock()
        self._connections = connections
        self._ca_bundle = ca_bundle
        for operation in _OPERATIONS:
            client.meta.events.register(f"before-parameter-build.s3.{operation}", _note)
            client.meta.events.register(f"before-sign.s3.{operation}", self._learn)

    def request(
        self, verb: str, bucket: str, key: str, *, body: bytes = b"", headers: Mapping[str, str] = {},
        max_bytes: int | None = None,
        admit: Callable[[int], None] | None = None,
    ) -> Reply | None:  # fmt: skip
        """One request; None where it must go the long way. A body's digest is among its headers.

        Raises:
            TooLarge: the object has more than `max_bytes`.
        """
        route = self._routes.get(bucket)
        if route is None:
            return None
        from botocore.exceptions import BotoCoreError, ClientError

        path = route.path + quote(key, safe=_SAFE)
        try:
            signed = sign(verb, route.name, path, headers, route.signatory())
            with route.host.exchange(verb, path, _UNSIGNED | signed, body) as answer:
                return _read(answer, verb, max_bytes, admit)
        except (HttpParserError, OSError, BotoCoreError, ClientError):
            # Also where the credentials cannot be renewed: the long way says what is wrong with them.
            return None

    def close(self) -> None:
        """Closes the connections."""
        for host in self._hosts.values():
            host.close()

    def _host(self, scheme: str, place: str) -> Host:
        """The host at a place, shared by its buckets."""
        with self._lock:
            if place not in self._hosts:
                url = urlsplit(f"{scheme}://{place}")
                tls = self._tls() if scheme == "https" else None
                self._hosts[place] = Host(
                    url.hostname or "", url.port or _PORTS[scheme], tls, connections=self._connections
                )
            return self._hosts[place]

    def _tls(self) -> ssl.SSLContext:
        from botocore.httpsession import get_cert_path

        return ssl.create_default_context(cafile=self._ca_bundle or get_cert_path(True))

    def _learn(
        self, request: Any, signing_name: str, region_name: str, signature_version: str, request_signer: Any, **_: Any
    ) -> None:
        """Notes where botocore sends a bucket's requests, and how it signs them."""
        from botocore.utils import get_environ_proxies

        bucket, key = request.context["restyle"]
        ending = quote(key, safe=_SAFE)
        region = request.context.get("signing", {}).get("region", region_name)
        if signature_version == "s3v4" and request.url.endswith(ending) and not get_environ_proxies(request.url):
            base = request.url.removesuffix(ending)
            scheme, _, place, path = base.split("/", 3)
            scheme = scheme.removesuffix(":")
            name = place.removesuffix(f":{_PORTS[scheme]}")
            host = self._host(scheme, place)
            self._routes[bucket] = Route(host, name, f"/{path}", request_signer, signing_name, region)
        else:
            self._routes.pop(bucket, None)


def _note(params: Mapping[str, str], context: dict[str, Any], **_: Any) -> None:
    """Hands bucket and key on to where the request is signed."""
    context["restyle"] = params["Bucket"], params["Key"]


def _read(answer: Answer, verb: str, max_bytes: int | None, admit: Callable[[int], None] | None) -> Reply | None:
    has_body = verb != "HEAD"
    if answer.status == 200:
        if max_bytes is not None and answer.length > max_bytes:
            raise TooLarge(answer.length)
        if admit:
            admit(answer.length)
        return Reply(200, answer.headers, answer.body() if has_body else b"")
    if answer.status == 404:
        told = answer.body() if has_body else b""
        # Where the bucket is missing, the long way says so.
        if not has_body or b"NoSuchKey" in told:
            return Reply(404, answer.headers, told)
    return None
