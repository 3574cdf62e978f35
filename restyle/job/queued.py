"""The API's queue, v2, as a mode: a request is submitted, written down, and polled until there is a picture.

Once a request's id is known it is written down, in Redis and in S3, before it is polled; whoever claims the job next
asks for that one. A request whose id was lost is looked up in the account's history before another is submitted. Why
this pays once is explained in docs/decisions/0012-the-queue-door.md.
"""

from __future__ import annotations

import json
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from restyle.coordination.claim_types import Dropped
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import patiently
from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    RateLimited,
    RequestLost,
    ResultGone,
    StateUnavailable,
)
from restyle.job.modes import Call, Patience
from restyle.keys import Workspace, derived_seed
from restyle.models import Message, utc_now
from restyle.s3.errors import S3_ERRORS
from restyle.s3.store import Store
from restyle.segmind.history import CannotTell
from restyle.segmind.polls import FileGone, NotThere, Request, read_request
from restyle.segmind.responses import Answer
from restyle.segmind.v2 import SegmindQueue

#: Times in a row that the API says "not there" before it is believed: a queue may be late to show what it accepted.
BELIEVED = 3


#: Seconds between two looks at most, whatever a 429 says: a drain and the time limit are looked at between them.
LONGEST_POLL = 30.0


@dataclass(frozen=True)
class Queued:
    """v2: a request is submitted, written down, and polled until there is a picture."""

    api: SegmindQueue
    fleet: Fleet
    store: Store
    workspace: Workspace
    stopping: threading.Event
    patience: Patience

    @property
    def url(self) -> str:
        """Where requests are submitted."""
        return self.api.url

    def img2img(self, call: Call) -> Answer:
        """Submits a request, unless one was, and waits for its picture."""
        if call.claim.verdict == "submitted":
            call.upload.sent()  # by whoever submitted it
            return self._result(call, read_request(call.claim.request))
        request = self.api.submit(call.upload, call.message.job.params)
        accepted = time.monotonic()
        self._note(call, request)
        self._pause(self.patience.poll, None)
        # What counts for the rate limit is when it was accepted: what follows is the API's own time.
        return replace(self._result(call, request), generation=time.monotonic() - accepted)

    def _result(self, call: Call, request: Request) -> Answer:
        """Waits for the picture; a request that nobody knows any more is not taken for the lost one again."""
        try:
            return self._await(request)
        except RequestLost:
            with suppress(*S3_ERRORS):
                self.store.delete(self.workspace.request(call.message.run_id, call.message.job_id))
            raise

    def _note(self, call: Call, request: Request) -> None:
        """Writes down what was accepted: in Redis, where it is looked up, and in S3 in case Redis loses it.

        It is billed, so S3 is tried whatever Redis says, and both again as long as Redis does not take it. Where S3
        alone takes nothing, Redis has it, and the answer will be kept there too.
        """
        uri = self.workspace.request(call.message.run_id, call.message.job_id)
        note = json.dumps({"made_from": call.made_from, **json.loads(request.as_json())}).encode()
        in_s3 = False
        while True:
            try:
                self.fleet.submitted(call.message, call.token, call.made_from, request.as_json())
                refused = None
            except StateUnavailable as error:
                refused = error
            finally:
                with suppress(*S3_ERRORS):
                    if not in_s3:
                        self.store.put(uri, note, content_type="application/json")
                        in_s3 = True
            if refused is None:
                return
            if self.stopping.wait(random.uniform(0.2, 1.0)):
                raise refused

    # -- waiting -------------------------------------------------------------------------------------------

    def _await(self, request: Request) -> Answer:
        """Asks for a request until there is a picture; an API that fails meanwhile is asked again, and costs nothing.

        Raises:
            RestyleError: it failed, or time is up; the request stays noted unless the error ends it.
            Dropped: this worker drains.
        """
        error: ApiUnavailable | ApiTimeout | ResultGone
        deadline, drained = time.monotonic() + self.patience.answer, None
        missed, look = 0, self.api.poll
        while True:
            wait, error = self.patience.poll, ApiTimeout(f"no picture within {self.patience.answer:g} s")
            try:
                if answer := look(request):
                    return answer
                missed = 0
            except FileGone:
                error = ResultGone("the picture was made and billed, and its file is gone", 404)
            except NotThere:
                missed += 1
                if missed >= BELIEVED:
                    missed, look = 0, self.api.recall
            except CannotTell as why:
                raise RequestLost(
                    f"the API knows the request {request.request_id} no more, and {why}", request.submitted
                ) from None
            except RateLimited as limited:
                error = ApiUnavailable(limited.message, 429)
                wait = min(max(limited.wait or 0.0, 5 * wait), LONGEST_POLL)
            except (ApiUnavailable, ApiTimeout) as failure:
                error = failure
            if time.monotonic() > deadline:
                raise error
            drained = self._pause(wait, drained)

    def _pause(self, seconds: float, drained: float | None) -> float | None:
        """Waits between two looks; tells since when this worker drains.

        Raises:
            Dropped: it has drained for long enough: the request is noted, and the next worker takes it up.
        """
        seconds = random.uniform(0.8, 1.2) * seconds
        if drained is None and not self.stopping.wait(seconds):
            return None
        drained = drained or time.monotonic()
        left = drained + self.patience.leave - time.monotonic()
        if left <= 0:
            raise Dropped("stopping")
        time.sleep(min(left, seconds))
        return drained

    def fetch(self, url: str) -> bytes:
        """A picture that a result links to."""
        return self.api.links.fetch(url)

    # -- lost calls ----------------------------------------------------------------------------------------

    def resolve(self, call: Call) -> bool:
        """Looks for a request whose id was lost: in S3's note of it, then in the account's history."""
        message = call.message
        since, shown = self._doubt(message)
        request = self._noted(call, since)
        if request is None:
            try:
                request = self._in_history(call, since, shown)
            except CannotTell:
                return False
        if request:
            self._note(call, request)
        patiently(self.stopping, self.fleet.resolve_doubts, message, call.token, is_queued=request is not None)
        with suppress(*S3_ERRORS):
            self.store.delete(self.workspace.doubt(message.run_id, message.job_id))
        return True

    def _in_history(self, call: Call, since: datetime, shown: datetime) -> Request | None:
        """The request by the account's history, once that must be complete; None: it never arrived.

        Raises:
            CannotTell: it cannot be read, or not for as long as one may wait.
        """
        job_id, params = call.message.job_id, call.message.job.params
        is_ours = params.seed in {derived_seed(job_id), derived_seed(job_id, call.message.run_id)}
        last_try, drained = time.monotonic() + self.patience.history, None
        while True:
            failed = ""
            try:
                if request := self.api.find(call.upload.data, params, since, is_ours=is_ours):
                    return request
            except (ApiUnavailable, ApiTimeout, RateLimited) as error:
                failed = error.message
            if not failed and utc_now() >= shown:
                return None
            if failed and time.monotonic() > last_try:
                raise CannotTell(failed)
            drained = self._pause(2 * self.patience.poll, drained)

    def _doubt(self, message: Message) -> tuple[datetime, datetime]:
        """Since when a call was lost, by the note of the doubt; and from when on the history must show it."""
        stored = self.store.find(self.workspace.doubt(message.run_id, message.job_id))
        note = json.loads(stored.data) if stored else {}
        now = utc_now()
        noted = datetime.fromisoformat(note["noted"]) if "noted" in note else now
        if "since" in note:
            since = datetime.fromisoformat(note["since"])
        elif "calling_ms" in note:
            since = datetime.fromtimestamp(note["calling_ms"] / 1000, UTC)
        else:
            # Without a note of the doubt: after Redis lost the run, as the note of a request tells.
            since = noted - timedelta(seconds=self.patience.answer + 60) if stored else now - timedelta(days=7)
        return since, noted + timedelta(seconds=self.patience.history)

    def _noted(self, call: Call, since: datetime) -> Request | None:
        """The request that S3's note tells of, where it is the lost one and for the same result."""
        stored = self.store.find(self.workspace.request(call.message.run_id, call.message.job_id))
        if stored is None or json.loads(stored.data)["made_from"] != call.made_from:
            return None
        request = read_request(stored.data)
        return request if request.submitted >= since - timedelta(seconds=1) else None

    def close(self) -> None:
        """Closes the connections."""
        self.api.close()
