"""The seams of a job in memory: an S3, a Redis, a fleet and an API that do as they are told, in no time, and count.

Each is a subclass of the real class, or has its protocol, so that types hold both together. What the real ones do is
proved in tests/integration; here it is what a job makes of them.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any, NamedTuple

from restyle.coordination.claim_types import Claim, Limits, Storm
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.redis.durability import Proof
from restyle.coordination.redis.scripts import Argument
from restyle.errors import InputNotFound, InvalidImage, RestyleError, StateUnavailable
from restyle.images.c2pa import Signer
from restyle.job.modes import Call
from restyle.job.parked.unsaved import Unsaved
from restyle.keys import split_uri
from restyle.models import Message
from restyle.outputs import Storing
from restyle.runtime.clock import elapsed
from restyle.s3.store import Head, Listed, Store, Stored
from restyle.segmind.responses import Answer


def raising(error: Exception) -> Callable[[], None]:
    """Something to do that fails."""

    def fail() -> None:
        raise error

    return fail


@dataclass
class Event:
    """What is to happen at some requests to S3, in place of nothing."""

    verb: str
    uri: str
    do: Callable[[], object]
    times: int


class MemoryStore(Store):
    """An S3 that is a dictionary. `requests` has what was asked of it: `put s3://bucket/key`."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, Stored] = {}
        #: How each object is to be held, where a run says so.
        self.held: dict[str, Storing | None] = {}
        self.requests: list[str] = []
        self._events: list[Event] = []

    def when(self, verb: str, uri: str, do: Callable[[], object], *, times: int = 1) -> None:
        """Does something before the next request of this kind for a URI; an empty verb or URI is any."""
        self._events.append(Event(verb, uri, do, times))

    def fail(self, verb: str, uri: str, error: Exception, *, times: int = 1) -> None:
        """Fails the next requests of this kind for a URI."""
        self.when(verb, uri, raising(error), times=times)

    def wrote(self, part: str) -> list[str]:
        """The URIs with this in them that were put, in their order."""
        return [uri for verb, uri in map(str.split, self.requests) if verb == "put" and part in uri]

    def get(self, uri: str, *, max_bytes: int | None = None, admit: Callable[[int], None] | None = None) -> Stored:
        """An object with its content."""
        self._ask("get", uri)
        stored = self._existing(uri)
        if max_bytes is not None and stored.bytes > max_bytes:
            raise InvalidImage(f"{uri}: is too large")
        if admit:
            admit(stored.bytes)
        return stored

    def head(self, uri: str) -> Head | None:
        """What is known of an object."""
        self._ask("head", uri)
        return self.objects.get(uri)

    def put(
        self, uri: str, data: bytes | mmap, *, content_type: str, metadata: Mapping[str, str] = {},
        storing: Storing | None = None,
    ) -> str:  # fmt: skip
        """Writes an object; its ETag is the MD5 of its bytes, as S3's is."""
        self._ask("put", uri)
        content = bytes(data)
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        self.objects[uri] = Stored(etag, len(content), content_type, dict(metadata), content)
        self.held[uri] = storing
        return etag

    def copy(
        self, source: str, target: str, storing: Storing | None = None, *,
        content_type: str = "", metadata: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Copies an object."""
        self._ask("copy", target)
        stored = self._existing(source)
        kind, values = (stored.content_type, stored.metadata) if metadata is None else (content_type, dict(metadata))
        self.objects[target] = Stored(stored.etag, stored.bytes, kind, values, stored.data)
        self.held[target] = storing
        return stored.etag

    def replace(self, uri: str, data: bytes, *, etag: str, content_type: str) -> bool:
        """Writes an object in the place of the one with this ETag, as a server with conditional writes does."""
        self._ask("replace", uri)
        if uri not in self.objects or self.objects[uri].etag != etag:
            return False
        self.put(uri, data, content_type=content_type)
        return True

    def delete(self, uri: str) -> None:
        """Removes an object."""
        self._ask("delete", uri)
        self.objects.pop(uri, None)

    def list(self, prefix_uri: str, *, after: str = "") -> Iterator[Listed]:
        """The objects below a prefix."""
        self._ask("list", prefix_uri)
        for uri in sorted(self.objects):
            if uri.startswith(prefix_uri) and uri > after:
                yield Listed(uri, self.objects[uri].etag, self.objects[uri].bytes)

    def _existing(self, uri: str) -> Stored:
        if uri not in self.objects:
            raise InputNotFound(f"{uri}: there is no such object")
        return self.objects[uri]

    def _ask(self, verb: str, uri: str) -> None:
        split_uri(uri)
        self.requests.append(f"{verb} {uri}")
        for event in self._events:
            if event.times and event.verb in {"", verb} and event.uri in {"", uri}:
                event.times -= 1
                event.do()
                return


class MemoryState(State):
    """A Redis that holds parked answers. `runs` has the scripts that ran, with their arguments."""

    def __init__(self) -> None:
        self.namespace, self.account = "restyle:test:", "restyle:account:"
        self.values: dict[str, Any] = {}
        self.runs: list[tuple[str, dict[str, Argument]]] = []
        #: What was taken out of sets.
        self.removed: list[str | float] = []
        #: What a script answers; 1 where nothing is said.
        self.answers: dict[str, Any] = {"unreadable": [1, 0, 0]}
        #: Whether Redis has parked answers on its disk; None: it has none.
        self.is_durable: bool | None = True
        #: Raised by every question while it is set.
        self.trouble: Exception | None = None

    def ask(self, command: str, *args: str | float) -> Any:
        """One of the few commands that a job asks."""
        self._check()
        value = self.values.get(str(args[0]))
        match command:
            case "GET":
                return value
            case "STRLEN":
                return len(value or "")
            case "EXISTS":
                return int(value is not None)
            case "SMEMBERS":
                return list(value or ())
            case "HMGET":
                return [(value or {}).get(name) for name in args[1:]]
            case "HGET":
                return (value or {}).get(args[1])
            case "SREM":
                self.removed += args[1:]
                return 0
        raise AssertionError(f"{command} is not known here")

    def ask_all(self, *commands: tuple[str | float, ...]) -> list[Any]:
        """Several of them."""
        return [self.ask(str(command), *args) for command, *args in commands]

    def run(self, script: str, /, **arguments: Argument) -> Any:
        """Notes a script."""
        self._check()
        self.runs.append((script, arguments))
        if script == "unpark":
            self.values.pop(self.key("kept", str(arguments["job"])), None)
        return self.answers.get(script, 1)

    def run_durably(self, proof: Proof | None, script: str, /, **arguments: Argument) -> tuple[Any, bool | None]:
        """Parks an answer."""
        answer = self.run(script, **arguments)
        if script == "park" and answer:
            self.values[self.key("kept", str(arguments["job"]))] = arguments["text"]
        return answer, self.is_durable

    def ran(self, script: str) -> list[dict[str, Argument]]:
        """The arguments of each run of a script."""
        return [arguments for name, arguments in self.runs if name == script]

    def _check(self) -> None:
        if self.trouble:
            raise self.trouble


class Report(NamedTuple):
    """A call without a picture, as the fleet learns of it."""

    claim: Claim
    error: RestyleError | None
    alone: bool


class MemoryFleet(Fleet):
    """A fleet that grants what is put down in `claims`, then calls without end."""

    state: MemoryState

    def __init__(self, state: MemoryState, limits: Limits | None = None) -> None:
        super().__init__(state, limits or Limits(), worker="worker-1")
        #: Claims, errors that are raised in their place, or what is done before the next is granted.
        self.claims: deque[Claim | Exception | Callable[[], object]] = deque()
        #: What each claim was asked with.
        self.asked: list[dict[str, Any]] = []
        #: The ends of calls that brought no picture.
        self.reports: list[Report] = []
        self.storm = Storm(used=1, doubts=0, running=False)
        self.stops: list[str] = []
        self.costs: list[float] = []
        self.is_alive = True

    @property
    def is_heartbeat_fresh(self) -> bool:
        """Whether the fleet must count this worker as living."""
        return self.is_alive

    def lapse(self) -> None:
        """This worker was taken for dead a moment ago."""
        self._lapsed = elapsed()

    def claim(
        self, message: Message, token: str, *, looked: bool, looked_at: float, made_from: str = "", result: str = ""
    ) -> Claim:
        """The next claim."""
        self.asked.append({"looked": looked, "looked_at": looked_at, "made_from": made_from, "result": result})
        while self.claims:
            following = self.claims.popleft()
            if isinstance(following, Claim):
                return following
            if isinstance(following, Exception):
                raise following
            following()
        return Claim("go")

    def call_failed(
        self, message: Message, token: str, claim: Claim, error: RestyleError | None, *, alone: bool = False
    ) -> Storm:
        """Notes the end of a call."""
        self.reports.append(Report(claim, error, alone))
        return self.storm

    def suspend(self, reason: str, detail: str, by: str, *, cause: str = "", stored: bool = False) -> bool:
        """Notes a stop of all."""
        if self.state.trouble:
            raise self.state.trouble
        self.stops.append(reason)
        return True

    def spent(self, message: Message, token: str, credits: float) -> None:
        """Notes what a call cost that came too late."""
        if self.state.trouble:
            raise self.state.trouble
        self.costs.append(credits)


@dataclass
class MemoryApi:
    """The API: answers what is put down in `answers`, then `picture` at one credit, and counts the calls."""

    picture: bytes
    url: str = "https://api.example/v1"
    answers: deque[Answer | RestyleError | Callable[[], object]] = field(default_factory=deque)
    #: The pictures that were sent, each a paid call.
    sent: list[bytes] = field(default_factory=list)
    #: What is found out of lost calls.
    resolves: bool = False
    resolved: int = 0

    @property
    def calls(self) -> int:
        """How many were made."""
        return len(self.sent)

    def img2img(self, call: Call) -> Answer:
        """One paid call."""
        self.sent.append(call.upload.hand_over())
        call.upload.sent()
        while self.answers:
            following = self.answers.popleft()
            if isinstance(following, Answer):
                return following
            if isinstance(following, RestyleError):
                raise following
            following()
        return self.answer()

    def answer(self, *pictures: bytes, cost: float | None = 1.0, **fields: Any) -> Answer:
        """An answer with these pictures, or the usual one."""
        return Answer(pictures or (self.picture,), 2.5, request_id="r-1", cost=cost, **fields)

    def resolve(self, call: Call) -> bool:
        """Whether lost calls could be looked up."""
        self.resolved += 1
        return self.resolves

    def fetch(self, url: str) -> bytes:
        """No link leads anywhere."""
        raise AssertionError(url)

    def close(self) -> None:
        """Nothing is open."""


class Drain(threading.Event):
    """Whether a worker drains, by a clock that stands still: a wait is over at once, and counted."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        #: Waits after which the worker drains, and what is done in each.
        self.after: int | None = None
        self.meanwhile: Callable[[], object] = bool

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for no time."""
        self.waits.append(timeout or 0.0)
        self.meanwhile()
        if self.after is not None and len(self.waits) >= self.after:
            self.set()
        return self.is_set()


class Gate(Unsaved):
    """The gate before calls, whose waits are over at once."""

    def __init__(self) -> None:
        super().__init__()
        #: What is done in a wait for it to open.
        self.meanwhile: Callable[[], object] = bool
        #: Waits after which it closes.
        self.closes_in: int | None = None

    def wait(self, timeout: float) -> bool:
        """Whether calls may begin."""
        is_open = self.is_set()
        if not is_open:
            self.meanwhile()
        if self.closes_in is not None:
            self.closes_in -= 1
            if self.closes_in == 0:
                self.add("another answer")
        return is_open


@dataclass(frozen=True)
class MemorySigner(Signer):
    """Signs with a word, or fails."""

    certificates: bytes = b""
    key: bytes = b""
    algorithm: str = "es256"
    fault: Exception | None = None
    #: What each signature says.
    signed: list[tuple[str, bytes, str, str, str]] = field(default_factory=list)

    def sign(self, data: bytes, content_type: str, *, source: bytes, source_type: str, tool: str, job_id: str) -> bytes:
        """The picture with a word behind it."""
        if self.fault:
            raise self.fault
        self.signed.append((content_type, source, source_type, tool, job_id))
        return data + b"signed"


AWAY = StateUnavailable("Redis is away")
