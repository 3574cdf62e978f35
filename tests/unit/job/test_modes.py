"""The API's two modes: a call that is its own answer, and a request that is paid for once, whoever ends it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from restyle.coordination.claim_types import Claim, Dropped
from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    ClockSkewed,
    ObjectRefused,
    RateLimited,
    RequestFailed,
    RequestLost,
    RestyleError,
    ResultGone,
    StateUnavailable,
    StoreAccessDenied,
    StoreUnavailable,
)
from restyle.job.blocking import Blocking
from restyle.job.modes import Call, Patience
from restyle.job.queued import BELIEVED, LONGEST_POLL, Queued
from restyle.models import Message, Params, utc_now
from restyle.runtime.memory import Reservation, UploadBuffer
from restyle.segmind.history import CannotTell
from restyle.segmind.polls import FileGone, NotThere, Request
from restyle.segmind.responses import Answer
from restyle.segmind.v1 import Segmind
from restyle.segmind.v2 import SegmindQueue
from tests.support.in_memory import AWAY, MemoryFleet
from tests.support.one_job import RUN, WORKSPACE, OneJob

JOB = WORKSPACE.job_id("mug", "felt")
NOTED, DOUBT = WORKSPACE.request(RUN, JOB), WORKSPACE.doubt(RUN, JOB)
T = TypeVar("T")
#: What polls and recalls answer: an answer, none yet, or an error.
Looks = deque[Answer | Exception | None]


class MemoryQueue(SegmindQueue):
    """A queue that accepts each request, and answers what is put down."""

    def __init__(self) -> None:
        self.url = "https://api.example/v2"
        self.submitted: list[bytes] = []
        self.asked: list[str] = []
        self.polls, self.recalls = Looks(), Looks()
        self.finds: deque[Request | Exception | None] = deque()
        self.searches: list[tuple[bytes, datetime, bool]] = []

    def submit(self, upload: UploadBuffer, params: Params) -> Request:
        """One paid request."""
        self.submitted.append(upload.hand_over())
        upload.sent()
        return Request("r-1", utc_now())

    def poll(self, request: Request) -> Answer | None:
        """A look at the request."""
        self.asked.append(f"poll {request.request_id}")
        return _next(self.polls)

    def recall(self, request: Request) -> Answer | None:
        """A look into the history."""
        self.asked.append(f"recall {request.request_id}")
        return _next(self.recalls)

    def find(self, image: bytes, params: Params, since: datetime, *, is_ours: bool) -> Request | None:
        """A search of the history."""
        self.searches.append((image, since, is_ours))
        return _next(self.finds)


def _next(answers: deque[T | Exception | None]) -> T | None:
    following = answers.popleft()
    if isinstance(following, Exception):
        raise following
    return following


class QueueFleet(MemoryFleet):
    """Notes what is said of requests."""

    notes: list[tuple[str, str]]
    resolved: list[bool]
    faults: deque[Exception]

    def submitted(self, message: Message, token: str, made_from: str, request: str) -> bool:
        """The id of a request is known."""
        if self.faults:
            raise self.faults.popleft()
        self.notes.append((made_from, request))
        return True

    def resolve_doubts(self, message: Message, token: str, *, is_queued: bool) -> None:
        """Lost calls were looked up."""
        self.resolved.append(is_queued)


@pytest.fixture
def queue() -> MemoryQueue:
    """The API."""
    return MemoryQueue()


@pytest.fixture
def fleet(one: OneJob) -> QueueFleet:
    """The fleet."""
    fleet = QueueFleet(one.state)
    fleet.notes, fleet.resolved, fleet.faults = [], [], deque()
    return fleet


@pytest.fixture
def queued(one: OneJob, queue: MemoryQueue, fleet: QueueFleet) -> Queued:
    """v2."""
    return Queued(queue, fleet, one.store, WORKSPACE, one.stopping, Patience())


def call(one: OneJob, claim: Claim | None = None, **given: Any) -> Call:
    """A call that is allowed."""
    work = one.work(**given)
    reservation = Reservation(one.tools.memory)
    reservation.take(7)
    return Call(UploadBuffer(b"picture", reservation), work.message, "token", claim or Claim("go"), "made from")


def noted(request_id: str = "r-0", submitted: datetime | None = None) -> Claim:
    """A claim that says to end a request."""
    return Claim("submitted", request=Request(request_id, submitted or utc_now()).as_json())


# -- v2: one request ---------------------------------------------------------------------------------------


def test_a_request_is_written_down_before_it_is_asked_for(
    one: OneJob, queue: MemoryQueue, queued: Queued, fleet: QueueFleet
) -> None:
    """In Redis and in S3, with what it was made from."""
    queue.polls.extend([None, one.api.answer()])
    answer = queued.img2img(call(one))
    assert (queue.submitted, queue.asked) == ([b"picture"], ["poll r-1", "poll r-1"])
    ((made_from, request),) = fleet.notes
    assert json.loads(one.store.objects[NOTED].data) == {"made_from": made_from, **json.loads(request)}
    assert (made_from, one.store.objects[NOTED].content_type) == ("made from", "application/json")
    assert answer.generation is not None
    assert len(one.stopping.waits) == 2
    assert all(0.8 <= wait <= 1.2 for wait in one.stopping.waits)
    assert queued.url == queue.url


def test_a_request_that_was_submitted_is_not_paid_for_again(
    one: OneJob, queue: MemoryQueue, queued: Queued, fleet: QueueFleet
) -> None:
    """Whoever has submitted it; the picture need not be held."""
    queue.polls.append(one.api.answer())
    answer = queued.img2img(call(one, noted("r-7")))
    assert (queue.submitted, queue.asked, fleet.notes) == ([], ["poll r-7"], [])
    assert (answer.generation, one.tools.memory._held) == (None, 0)


@pytest.mark.parametrize(
    "error", [StoreUnavailable("away"), StoreAccessDenied("403"), ObjectRefused("400"), ClockSkewed("late")]
)
def test_where_s3_takes_no_note_redis_has_it(
    one: OneJob, queue: MemoryQueue, queued: Queued, fleet: QueueFleet, error: Exception
) -> None:
    """And the answer will be kept there too."""
    one.store.fail("put", NOTED, error)
    queue.polls.append(one.api.answer())
    queued.img2img(call(one))
    assert (len(fleet.notes), NOTED in one.store.objects) == (1, False)


def test_where_redis_takes_no_note_both_are_tried_again(
    one: OneJob, queue: MemoryQueue, queued: Queued, fleet: QueueFleet
) -> None:
    """It is billed; S3 is written to once."""
    fleet.faults.extend([AWAY, AWAY])
    one.store.fail("put", NOTED, StoreUnavailable("away"))
    one.store.requests.clear()
    queue.polls.append(one.api.answer())
    queued.img2img(call(one))
    assert (len(fleet.notes), one.store.requests.count(f"put {NOTED}"), len(queue.submitted)) == (1, 2, 1)
    assert NOTED in one.store.objects


def test_a_worker_that_drains_without_redis_has_its_note_in_s3(one: OneJob, queued: Queued, fleet: QueueFleet) -> None:
    """From there it is found again."""
    fleet.faults.append(AWAY)
    one.stopping.set()
    with pytest.raises(StateUnavailable):
        queued.img2img(call(one))
    assert NOTED in one.store.objects


# -- v2: waiting -------------------------------------------------------------------------------------------


def test_what_fails_meanwhile_is_asked_again(one: OneJob, queue: MemoryQueue, queued: Queued) -> None:
    """It costs nothing; a 429 is waited for as long as it says, within bounds."""
    queue.polls.extend(
        [ApiUnavailable("500", 500), ApiTimeout("slow"), RateLimited("429"), RateLimited("429", 12.0),
         RateLimited("429", 900.0), one.api.answer()]
    )  # fmt: skip
    queued.img2img(call(one, noted()))
    for wait, most in zip(one.stopping.waits, (1, 1, 5, 12, LONGEST_POLL), strict=True):
        assert 0.8 * most <= wait <= 1.2 * most


@pytest.mark.parametrize(
    ("look", "kind", "words"),
    [
        (None, ApiTimeout, "no picture within -1 s"),
        (ApiUnavailable("500", 500), ApiUnavailable, "500"),
        (ApiTimeout("slow"), ApiTimeout, "slow"),
        (RateLimited("429"), ApiUnavailable, "429"),
        (FileGone(), ResultGone, "its file is gone"),
        (RequestFailed("no"), RequestFailed, "no"),
    ],
)
def test_when_time_is_up_the_last_error_is_it(
    one: OneJob, queue: MemoryQueue, queued: Queued, look: Exception | None, kind: type[RestyleError], words: str
) -> None:
    """The request stays noted, unless the error ends it."""
    queue.polls.append(look)
    one.put(NOTED, b"{}")
    with pytest.raises(kind, match=words) as caught:
        replace(queued, patience=Patience(answer=-1.0)).img2img(call(one, noted()))
    assert NOTED in one.store.objects
    assert getattr(caught.value, "http_status", None) == {"429": 429, "its file is gone": 404, "500": 500}.get(words)


def test_a_queue_that_does_not_know_a_request_is_believed_late(one: OneJob, queue: MemoryQueue, queued: Queued) -> None:
    """Three times in a row; then the history is asked, which may know it."""
    queue.polls.extend([NotThere(), NotThere(), None, *[NotThere()] * BELIEVED])
    queue.recalls.extend([NotThere(), one.api.answer()])
    queued.img2img(call(one, noted()))
    assert queue.asked == ["poll r-0"] * 6 + ["recall r-0"] * 2


@pytest.mark.parametrize("error", [None, StoreUnavailable("away"), ObjectRefused("400")])
def test_a_request_that_nobody_knows_is_lost(
    one: OneJob, queue: MemoryQueue, queued: Queued, error: Exception | None
) -> None:
    """It is in doubt since it was submitted, and its note is not taken for it again."""
    submitted = utc_now() - timedelta(seconds=90)
    one.put(NOTED, b"{}")
    if error:
        one.store.fail("delete", NOTED, error)
    queue.polls.extend([NotThere()] * BELIEVED)
    queue.recalls.append(CannotTell("its history has no such page"))
    with pytest.raises(RequestLost, match="knows the request r-0 no more, and its history has no such page") as caught:
        queued.img2img(call(one, noted(submitted=submitted)))
    assert (caught.value.in_doubt, caught.value.since) == (True, submitted)
    assert (NOTED in one.store.objects) is (error is not None)


def test_a_worker_that_drains_leaves_the_request_to_the_next(one: OneJob, queue: MemoryQueue, queued: Queued) -> None:
    """After a while, in which it may be answered."""
    one.stopping.set()
    queue.polls.extend([None, one.api.answer()])
    brief = replace(queued, patience=Patience(poll=0.001))
    assert brief.img2img(call(one, noted())).images
    queue.polls.append(None)
    with pytest.raises(Dropped, match="stopping"):
        replace(queued, patience=Patience(leave=-1.0)).img2img(call(one, noted()))


# -- v2: lost calls ----------------------------------------------------------------------------------------


def lost(one: OneJob, **note: Any) -> None:
    """A call whose answer was lost."""
    one.put(DOUBT, json.dumps(note).encode())


def test_a_note_in_s3_tells_of_the_lost_request(
    one: OneJob, queue: MemoryQueue, queued: Queued, fleet: QueueFleet
) -> None:
    """Redis had forgotten it: it is noted there again, and nobody searches."""
    now = utc_now()
    lost(one, noted=str(now), since=str(now - timedelta(seconds=60)))
    note = {"made_from": "made from", **json.loads(Request("r-5", now).as_json())}
    one.put(NOTED, json.dumps(note).encode())
    assert queued.resolve(call(one))
    assert [json.loads(request)["request_id"] for _, request in fleet.notes] == ["r-5"]
    assert (fleet.resolved, queue.searches, DOUBT in one.store.objects) == ([True], [], False)


@pytest.mark.parametrize("why", ["another result", "older", "none"])
def test_a_note_of_another_request_is_not_the_lost_one(
    one: OneJob, queue: MemoryQueue, queued: Queued, fleet: QueueFleet, why: str
) -> None:
    """The history is searched from then on."""
    since = utc_now() - timedelta(seconds=60)
    lost(one, noted=str(utc_now()), since=str(since))
    submitted = since - timedelta(seconds=2) if why == "older" else utc_now()
    made_from = "another" if why == "another result" else "made from"
    if why != "none":
        one.put(NOTED, json.dumps({"made_from": made_from, **json.loads(Request("r-5", submitted).as_json())}).encode())
    queue.finds.append(Request("r-6", utc_now()))
    assert queued.resolve(call(one))
    assert [json.loads(request)["request_id"] for _, request in fleet.notes] == ["r-6"]
    assert queue.searches == [(b"picture", since, True)]


@pytest.mark.parametrize(("seed", "is_ours"), [(None, True), (7, False)])
def test_a_seed_of_our_own_tells_our_requests(
    one: OneJob, queue: MemoryQueue, queued: Queued, seed: int | None, *, is_ours: bool
) -> None:
    """One that somebody has chosen may be anybody's."""
    queue.finds.append(Request("r-6", utc_now()))
    queued.resolve(call(one, params={"seed": seed} if seed else {}))
    assert [ours for *_, ours in queue.searches] == [is_ours]


def test_what_the_history_must_show_by_now_never_arrived(
    one: OneJob, queue: MemoryQueue, queued: Queued, fleet: QueueFleet
) -> None:
    """It is looked at until then."""
    lost(one, noted=str(utc_now() - timedelta(seconds=31)))
    queue.finds.append(None)
    assert queued.resolve(call(one))
    assert (fleet.resolved, fleet.notes, DOUBT in one.store.objects) == ([False], [], False)


def test_a_history_that_is_late_is_read_again(one: OneJob, queue: MemoryQueue, queued: Queued) -> None:
    """Errors of the API's too."""
    lost(one, noted=str(utc_now()))
    queue.finds.extend(
        [None, ApiUnavailable("500", 500), ApiTimeout("slow"), RateLimited("429"), Request("r-6", utc_now())]
    )
    assert queued.resolve(call(one))
    assert (len(queue.searches), len(one.stopping.waits)) == (5, 4)
    assert all(1.6 <= wait <= 2.4 for wait in one.stopping.waits)


def test_a_history_that_cannot_be_read_tells_nothing(
    one: OneJob, queue: MemoryQueue, queued: Queued, fleet: QueueFleet
) -> None:
    """A person, or a second call, decides; the doubt stays."""
    lost(one, noted=str(utc_now()))
    queue.finds.append(ApiUnavailable("500", 500))
    assert not replace(queued, patience=Patience(history=-1.0)).resolve(call(one))
    queue.finds.append(CannotTell("403"))
    assert not queued.resolve(call(one))
    assert (fleet.resolved, DOUBT in one.store.objects) == ([], True)


@pytest.mark.parametrize(
    ("note", "ago"),
    [
        ({"noted": "2026-03-01T12:00:00+00:00", "since": "2026-03-01T11:59:00+00:00"}, timedelta(seconds=60)),
        ({"noted": "2026-03-01T12:00:00+00:00", "calling_ms": 1772366300_000}, timedelta(seconds=100)),
        ({"noted": "2026-03-01T12:00:00+00:00"}, timedelta(seconds=240)),
    ],
)
def test_since_when_a_call_is_lost(
    one: OneJob, queue: MemoryQueue, queued: Queued, note: dict[str, Any], ago: timedelta
) -> None:
    """As its note says; else it began so long before as a call takes at most."""
    lost(one, **note)
    queue.finds.append(None)
    queued.resolve(call(one))
    ((_, since, _),) = queue.searches
    assert datetime(2026, 3, 1, 12, tzinfo=UTC) - since == ago


def test_without_a_note_a_week_is_searched(one: OneJob, queue: MemoryQueue, queued: Queued) -> None:
    """Redis lost the run, and nothing was written down."""
    queue.finds.append(Request("r-6", utc_now()))
    queued.resolve(call(one))
    ((_, since, _),) = queue.searches
    assert timedelta(days=7) <= utc_now() - since < timedelta(days=7, seconds=60)


@pytest.mark.parametrize(
    "error", [StoreUnavailable("away"), StoreAccessDenied("403"), ObjectRefused("400"), ClockSkewed("late")]
)
def test_a_note_that_stays_hurts_nobody(one: OneJob, queue: MemoryQueue, queued: Queued, error: Exception) -> None:
    """The doubt is resolved."""
    one.store.fail("delete", DOUBT, error)
    queue.finds.append(Request("r-6", utc_now()))
    assert queued.resolve(call(one))


# -- v1 ----------------------------------------------------------------------------------------------------


class MemorySegmind(Segmind):
    """v1's client, which answers at once."""

    def __init__(self, answer: Callable[[], Answer]) -> None:
        self.url, self.answer = "https://api.example/v1", answer
        self.sent: list[bytes] = []

    def img2img(self, upload: UploadBuffer, params: Params) -> Answer:
        """One paid call."""
        self.sent.append(upload.hand_over())
        return self.answer()


def test_v1_calls_and_waits(one: OneJob, queue: MemoryQueue, queued: Queued) -> None:
    """What v2 has begun is ended here too; a lost call leaves nothing by which it could be found."""
    segmind = MemorySegmind(one.api.answer)
    blocking = Blocking(segmind, queued)
    assert (blocking.img2img(call(one)).images, segmind.sent, blocking.url) == (
        (one.api.picture,), [b"picture"], segmind.url,
    )  # fmt: skip
    queue.polls.append(one.api.answer())
    blocking.img2img(call(one, noted()))
    assert (len(segmind.sent), queue.asked, blocking.resolve(call(one))) == (1, ["poll r-0"], False)
