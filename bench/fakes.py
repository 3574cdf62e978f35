"""A fake S3 and a fake API that take little CPU, which counts for no contender.

Each is one asyncio protocol in a process of its own: `python fakes.py s3|api PORT PICTURE`. GET /-/stats returns the
counts; GET /-/set?latency=SECONDS sets how long an answer takes, and resets the counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import resource
import sys
import time
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

DATE = b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
WRITTEN = "<LastModified>2026-01-01T00:00:00Z</LastModified>"
#: Objects of a page.
PAGE = 1000
Headers = dict[str, str]


class Exchange(asyncio.Protocol):
    """One connection: requests in a row, each answered after the latency of its server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport: asyncio.Transport
        self.head = b""
        self.body: list[bytes] = []
        self.missing = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment] # a stream, as the server is one
        self.server.connections += 1

    def connection_lost(self, _error: Exception | None) -> None:
        self.server.connections -= 1

    def data_received(self, data: bytes) -> None:
        if self.missing < 0:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            data, self.head = self.head[end + 4 :], self.head[:end]
            self._begin()
        self.body.append(data)
        self.missing -= len(data)
        if self.missing <= 0:
            self._end()

    def _begin(self) -> None:
        lines = self.head.decode("latin-1").split("\r\n")
        self.verb, self.target, _ = lines[0].split(" ", 2)
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self.missing = int(self.headers.get("content-length", 0))
        if self.headers.get("expect"):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.server.begun(self.target)

    def _end(self) -> None:
        head, content = self.server.answer(self.verb, self.target, self.headers, b"".join(self.body))
        self.head, self.body, self.missing = b"", [], -1
        loop = asyncio.get_running_loop()
        if self.server.latency and not self.target.startswith("/-/"):
            loop.call_later(self.server.latency, self._send, head, content)
        else:
            self._send(head, content)

    def _send(self, head: bytes, content: bytes) -> None:
        self.transport.write(head)
        if content:
            self.transport.write(content)


class Server:
    """What both fakes have: a picture to send, a latency, and counts."""

    def __init__(self, picture: bytes) -> None:
        self.picture = picture
        self.latency = 0.0
        self.connections = 0
        self.counts: dict[str, int] = {}
        self.starts: list[float] = []
        self.last = 0.0

    def begun(self, target: str) -> None:
        """A request has begun."""

    def empty(self) -> None:
        """Forgets what it holds."""

    def count(self, name: str) -> None:
        """Counts one request."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def answer(self, verb: str, target: str, headers: Headers, body: bytes) -> tuple[bytes, bytes]:
        """The answer to a request, its head and its content."""
        if not target.startswith("/-/"):
            return self.serve(verb, target, headers, body)
        query = parse_qs(urlsplit(target).query)
        if target.startswith("/-/set"):
            self.latency = float(query["latency"][0])
            self.counts, self.starts, self.last = {}, [], 0.0
            if "empty" in query:
                self.empty()
        used = resource.getrusage(resource.RUSAGE_SELF)
        stats = {
            "counts": self.counts,
            "last": self.last,
            "now": time.monotonic(),
            "connections": self.connections,
            "cpu": used.ru_utime + used.ru_stime,
        }
        if "starts" in query:
            stats["starts"] = self.starts
        return reply(json.dumps(stats).encode(), "application/json")

    def serve(self, verb: str, target: str, headers: Headers, body: bytes) -> tuple[bytes, bytes]:
        """The answer to a request that is not for `/-/`."""
        raise NotImplementedError


class Api(Server):
    """Answers every POST with the picture, once its latency is over."""

    def begun(self, target: str) -> None:
        if not target.startswith("/-/"):
            self.starts.append(time.monotonic())

    def serve(self, verb: str, target: str, headers: Headers, body: bytes) -> tuple[bytes, bytes]:
        self.count("calls" if verb == "POST" else verb)
        if verb != "POST":
            return reply(b'{"credits": 1000000}', "application/json")
        return reply(self.picture, "image/jpeg", b"x-remaining-credits: 1000000\r\nx-request-id: bench\r\n")


class S3(Server):
    """Has every key below `in/`; keeps small objects, and of pictures only their keys."""

    def __init__(self, picture: bytes) -> None:
        super().__init__(picture)
        #: What is kept of each object, its ETag, its metadata and its size.
        self.objects: dict[str, tuple[bytes, str, bytes, int]] = {}
        #: Their keys in order, those that came since the last listing at the end, and those that are gone still in it.
        self.keys: list[str] = []
        self.etag = hashlib.md5(picture, usedforsecurity=False).hexdigest()

    def empty(self) -> None:
        self.objects.clear()
        self.keys.clear()

    def keep(self, key: str, *stored: Any) -> None:
        """Keeps an object."""
        if key not in self.objects:
            self.keys.append(key)
        self.objects[key] = stored

    def serve(self, verb: str, target: str, headers: Headers, body: bytes) -> tuple[bytes, bytes]:
        path, _, query = target.partition("?")
        _, bucket, key = (*unquote(path).split("/", 2), "")[:3]
        self.last = time.monotonic()
        if verb == "PUT":
            kind = "record" if "records/" in key else "output"
            if "runs/" in key or "fleets/" in key:
                kind = "report" if key.endswith("report.json") else "other"
            self.count(f"PUT {kind}")
            metadata = "".join(f"{n}: {v}\r\n" for n, v in headers.items() if n.startswith("x-amz-meta-")).encode()
            kept = b"" if kind == "output" else body
            etag = hashlib.md5(body, usedforsecurity=False).hexdigest() if kept else self.etag
            self.keep(key, kept, etag, metadata, len(body))
            return reply(b"", "text/plain", f'ETag: "{etag}"\r\n'.encode())
        self.count(verb)
        if verb == "DELETE":
            self.objects.pop(key, None)
            return b"HTTP/1.1 204 No Content\r\n\r\n", b""
        if not key.strip("/"):
            return self.listing(bucket, parse_qs(query))
        if key.startswith("in/"):
            return self.an_input(key, is_head=verb == "HEAD")
        stored = self.objects.get(key)
        if stored is None:
            error = b"" if verb == "HEAD" else b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
            return reply(error, "application/xml", status=b"404 Not Found")
        head, content = reply(stored[0], "image/jpeg", f'ETag: "{stored[1]}"\r\n'.encode() + stored[2])
        return head, b"" if verb == "HEAD" else content

    def an_input(self, key: str, *, is_head: bool) -> tuple[bytes, bytes]:
        """A picture that no other key has, by a comment in it: what is made of one is paid for once."""
        mark = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
        data = self.picture[:2] + b"\xff\xfe" + (2 + len(mark)).to_bytes(2) + mark.encode() + self.picture[2:]
        self.keep(key, b"", mark, b"", len(data))
        head, content = reply(data, "image/jpeg", f'ETag: "{mark}"\r\n'.encode())
        return head, b"" if is_head else content

    def listing(self, bucket: str, query: dict[str, list[str]]) -> tuple[bytes, bytes]:
        """ListObjectsV2, a page of it; of inputs those that were asked for before."""
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        self.keys = sorted({*self.keys} & self.objects.keys()) if len(self.keys) > len(self.objects) else self.keys
        self.keys.sort()  # nearly sorted already
        contents, folders, last = list[str](), list[str](), ""
        place = max(bisect_left(self.keys, prefix), bisect_right(self.keys, after))
        while place < len(self.keys) and (key := self.keys[place]).startswith(prefix) and len(contents) < PAGE:
            place, last = place + 1, key
            folder, is_folder, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if is_folder:
                folders.append(
                    f"<CommonPrefixes><Prefix>{escape(prefix + folder + delimiter)}</Prefix></CommonPrefixes>"
                )
                place = bisect_left(self.keys, prefix + folder + delimiter + chr(0x10FFFF))
            elif stored := self.objects.get(key):
                _, etag, _, size = stored
                contents.append(
                    f"<Contents><Key>{escape(key)}</Key><ETag>{etag}</ETag><Size>{size}</Size>{WRITTEN}</Contents>"
                )
        is_more = len(contents) == PAGE
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if is_more else ""
        xml = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><IsTruncated>{str(is_more).lower()}</IsTruncated>{token}{''.join(contents)}"
            f"{''.join(folders)}</ListBucketResult>"
        )
        return reply(xml.encode(), "application/xml")


def reply(content: bytes, kind: str, headers: bytes = b"", status: bytes = b"200 OK") -> tuple[bytes, bytes]:
    """An HTTP answer."""
    length = f"Content-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    return b"HTTP/1.1 " + status + b"\r\n" + DATE + headers + length, content


async def serve(server: Server, port: int) -> None:
    """Listens until the process is killed."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Exchange(server), "127.0.0.1", port, backlog=4096)
    await listening.serve_forever()


def main() -> None:
    """`fakes.py s3|api PORT PICTURE`."""
    kind, port, picture = sys.argv[1:]
    content = Path(picture).read_bytes()
    try:
        import uvloop

        uvloop.install()
    except ImportError:
        pass  # takes more CPU, which counts for no contender either
    asyncio.run(serve((S3 if kind == "s3" else Api)(content), int(port)))


if __name__ == "__main__":
    main()
