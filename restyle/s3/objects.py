"""Objects by obstore: GET, HEAD and PUT for the requests of every job, in Rust, without the interpreter's lock.

boto3 stays the authority. A bucket's endpoint, region and addressing style are taken from boto3's own requests, once S3
has answered them; the credentials are boto3's too. Of obstore's answers only two count: an object, or a missing key.
Anything else gives None, and the caller asks boto3 again, which has the error's text, redirects, retries and renewed
credentials. What obstore is not trusted with: docs/decisions/0022-clients-of-s3.md.
"""

from __future__ import annotations

import io
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from restyle.s3.bucket import Route, open_bucket
from restyle.s3.replies import Head, Missing, Stored, TooLarge, plain

if TYPE_CHECKING:
    from obstore.store import S3Store

    from restyle.s3.client import Opened

T = TypeVar("T")

#: Characters of a key that stay unquoted in its URL, as S3's signature demands.
_SAFE = "/~"
#: How S3 writes an ETag: 32 hexadecimal digits, and how many parts the object came in. obstore follows redirects; the
#: page that a gateway leads to instead has an ETag of another form, or none.
_ETAG = re.compile(r'"?[0-9a-fA-F]{32}(-\d+)?"?')
#: What a header may hold; anything else would have obstore panic.
_PRINTABLE = re.compile(r"[ -~]*")
#: Names of metadata that obstore does not take for HTTP headers.
_NAME = re.compile(r"(?!(?:content|cache|storage)-)[a-z0-9_-]+")
#: obstore's own names of headers among an object's attributes.
_HEADERS = frozenset(
    {"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Cache-Control", "Storage-Class"}
)
#: Bytes of a piece in which a body is read.
_PIECE = 1024 * 1024
#: After this many errors in a row, obstore is not used for this many seconds; boto3 takes the requests meanwhile.
_ERRORS, _REST = 5, 60.0
#: Variables of the environment by which obstore, but not boto3, would add headers.
_OWN = ("AWS_CHECKSUM_ALGORITHM", "AWS_SERVER_SIDE_ENCRYPTION")
_OPERATIONS = ("GetObject", "HeadObject", "PutObject")


class Objects:
    """obstore beside a boto3 client. Safe to share among threads."""

    def __init__(self, opened: Opened, *, connections: int, seconds: float) -> None:
        self._opened = opened
        self._connections = connections
        self._seconds = seconds
        self._routes: dict[str, Route] = {}
        self._lock = threading.Lock()
        # obstore starts a thread a core by default; they only wait for the network, so one suffices. Set here, since a
        # worker opens its store before it has threads that may read the environment.
        os.environ.setdefault("TOKIO_WORKER_THREADS", "1")
        if opened.credentials is None or opened.has_proxy or any(map(os.environ.get, _OWN)):
            return
        for operation in _OPERATIONS:
            events = opened.client.meta.events
            events.register(f"before-parameter-build.s3.{operation}", _note)
            events.register(f"before-sign.s3.{operation}", _learn)
            events.register(f"after-call.s3.{operation}", self._keep)

    def get(
        self, bucket: str, key: str, *, max_bytes: int | None = None, admit: Callable[[int], None] | None = None
    ) -> Stored | None:
        """An object; None where boto3 must be asked.

        Raises:
            Missing: there is no such key.
            TooLarge: it has more than `max_bytes`.
        """

        def ask(store: S3Store) -> Stored | None:
            import obstore

            try:
                response = obstore.get(store, key)
            except FileNotFoundError as error:
                if "<Code>NoSuchKey</Code>" in str(error):
                    raise Missing from None
                raise
            head = _head(response)
            if head is None:
                return None
            if max_bytes is not None and head.bytes > max_bytes:
                raise TooLarge(head.bytes)
            if admit:
                admit(head.bytes)
            data = _body(response, head.bytes)
            if len(data) != head.bytes:
                return None
            return Stored.of(head, data)

        return self._asked(bucket, key, ask)

    def head(self, bucket: str, key: str) -> Head | None:
        """What S3 says of an object; None where boto3 must be asked.

        Raises:
            Missing: the answer is 404. Neither client knows more: an answer to HEAD has no text.
        """

        def ask(store: S3Store) -> Head | None:
            import obstore

            try:
                return _head(obstore.get(store, key, options={"head": True}))
            except FileNotFoundError:
                raise Missing from None

        return self._asked(bucket, key, ask)

    def put(self, bucket: str, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]) -> str | None:
        """Writes an object and returns its ETag; None where boto3 must do it. Metadata is quoted as for headers."""
        if not all(map(_PRINTABLE.fullmatch, (content_type, *metadata.values()))):
            return None
        if not all(map(_NAME.fullmatch, metadata)):
            return None

        def ask(store: S3Store) -> str | None:
            import obstore

            attributes = {**metadata, "Content-Type": content_type}
            etag = obstore.put(store, key, data, attributes=attributes, use_multipart=False)["e_tag"] or ""
            return etag.strip('"') if _ETAG.fullmatch(etag) else None

        return self._asked(bucket, key, ask)

    def close(self) -> None:
        """Lets go of the connections."""
        self._routes.clear()

    def _asked(self, bucket: str, key: str, ask: Callable[[S3Store], T | None]) -> T | None:
        route = self._routes.get(bucket)
        # Rust does not react to Ctrl-C, so the requests of a command's main thread are boto3's.
        if route is None or not _is_plain(key) or threading.current_thread() is threading.main_thread():
            return None
        if time.monotonic() < route.rests_until:
            return None
        result = None
        try:
            result = ask(self._store(bucket, route))
        except (Missing, TooLarge):
            route.errors = 0
            raise
        except FileNotFoundError:
            return None
        except BaseException as error:
            # boto3 will ask again and report the error. A panic in Rust is a BaseException, but no Exception.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
        route.errors = 0 if result is not None else route.errors + 1
        if route.errors >= _ERRORS:
            route.rests_until = time.monotonic() + _REST
        return result

    def _store(self, bucket: str, route: Route) -> S3Store:
        with self._lock:
            if route.store is None:
                route.store = open_bucket(bucket, route, self._opened, self._connections, self._seconds)
            return route.store

    def _keep(self, http_response: Any, context: dict[str, Any], **_: Any) -> None:
        """Keeps the route of botocore's request, once S3 has answered it with 200 or 404."""
        bucket, route = context.get("restyle_bucket", ""), context.get("restyle_route")
        known = self._routes.get(bucket)
        if route is None:
            self._routes.pop(bucket, None)
        elif http_response.status_code in {200, 404} and (known is None or not known.is_same(route)):
            self._routes[bucket] = route


def _note(params: Mapping[str, str], context: dict[str, Any], **_: Any) -> None:
    """Puts bucket and key into the request's context, where `_learn` reads them."""
    context["restyle_bucket"], context["restyle_key"] = params["Bucket"], params["Key"]


def _learn(request: Any, signing_name: str, region_name: str, signature_version: str, **_: Any) -> None:
    """Puts the route of botocore's request into its context; None where obstore cannot sign in the same way."""
    signing = request.context.get("signing", {})
    ending = quote(request.context["restyle_key"], safe=_SAFE)
    is_known = signature_version == "s3v4" and signing.get("signing_name", signing_name) == "s3"
    route = None
    if is_known and request.url.endswith(f"/{ending}"):
        route = Route(request.url.removesuffix(f"/{ending}"), signing.get("region", region_name))
    request.context["restyle_route"] = route


def _is_plain(key: str) -> bool:
    """Whether obstore takes a key as it is: not with parts that are empty, `.` or `..`, and no control characters."""
    return key.isprintable() and not {"", ".", ".."} & set(key.split("/"))


def _head(response: Any) -> Head | None:
    """The head of an answer's object; None where the answer is not S3's, by the form of its ETag."""
    meta, attributes = response.meta, response.attributes
    etag = meta["e_tag"] or ""
    if not _ETAG.fullmatch(etag):
        return None
    metadata = {name: value for name, value in attributes.items() if name not in _HEADERS}
    return Head(etag.strip('"'), meta["size"], attributes.get("Content-Type", ""), plain(metadata))


def _body(response: Any, size: int) -> bytes:
    """The whole body. A large one is never held twice."""
    pieces = iter(response.stream(min_chunk_size=_PIECE))
    first: bytes = next(pieces, b"")
    if len(first) == size:
        return first
    whole = io.BytesIO()
    whole.write(first)
    for piece in pieces:
        whole.write(piece)
    return whole.getvalue()
