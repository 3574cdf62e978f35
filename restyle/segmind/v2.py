"""The client of the API's queue, v2: it accepts a request, reports its status, and gives the result by URL.

No method sleeps or retries: restyle/job/queued.py does. The key is sent to the API and to its request history, and
never to the address of a result.
Contract: docs.segmind.com/docs/serverless-api/async-inference; Segmind's Python SDK (v2.py, generations.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import urlencode, urljoin, urlsplit

from restyle import images
from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    MalformedResponse,
    RequestFailed,
)
from restyle.http.exchange import Wire
from restyle.models import Params, utc_now
from restyle.reply import Reply, quoted
from restyle.runtime.memory import UploadBuffer
from restyle.segmind.history import CannotTell, asks_for, figure, read_json, read_object, read_time, row_list
from restyle.segmind.links import Links
from restyle.segmind.polls import FileGone, NotThere, Request, again, patient
from restyle.segmind.responses import (
    SANDBOX_HEADER,
    Answer,
    api_message,
    quote_words,
    read_cost,
    read_credits,
    read_error,
    read_images,
)
from restyle.segmind.unpacking import unpack
from restyle.segmind.v1 import LINK_TIMEOUT, Body
from restyle.telemetry import metrics

#: Seconds that a poll may take. A submit carries the picture and may take as long as a call of v1.
POLL_TIMEOUT = LINK_TIMEOUT
#: The most seconds that are believed where the history says how long a request took.
LONGEST = 86_400.0
#: Rows on a page of the history (the most that the API gives), and pages that are read.
PER_PAGE, MOST_PAGES = 100, 50
#: How far the API's clock may be from ours.
CLOCK_SLACK = timedelta(minutes=5)

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class SegmindQueue:
    """A client of v2, to be shared among threads."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        history_url: str = "",
        timeout: float = 180.0,
        connections: int = 16,
        direct: bool = False,
    ) -> None:
        self.url = url
        self._key = api_key
        self._origin = urljoin(url, "/")
        self._history_url = history_url
        short = min(timeout, POLL_TIMEOUT)
        self._submits = Wire(url, api_key, timeout=timeout, connections=connections, direct=direct)
        self._submit = metrics.api(self._submits.ask)
        self._polls = Wire(url, api_key, timeout=short, connections=connections, direct=direct)
        #: Fetches results, which lie elsewhere.
        self.links = Links(url, timeout=short, connections=connections, direct=direct)

    def submit(self, upload: UploadBuffer, params: Params) -> Request:
        """Submits a request. The one step that must not be repeated once it may have arrived.

        Raises:
            RestyleError: the API refused it, as a call of v1 is refused; in doubt where the reply was lost.
        """
        submitted = utc_now()
        with Body(upload, params) as body:
            reply = self._submit("POST", self.url, body)
        if not 200 <= reply.status < 300:
            raise read_error(reply.status, reply.headers, reply.body, self._key)
        request_id = read_object(reply.body).get("request_id")
        if not isinstance(request_id, str) or not _ID.fullmatch(request_id):
            raise ApiTimeout("the API accepted a request and gave no id for it", reply.status, in_doubt=True)
        return Request(request_id, submitted)

    def poll(self, request: Request) -> Answer | None:
        """The result of a request; None while there is none yet.

        Raises:
            NotThere: the API no longer knows the request. FileGone: it knows the request, but the picture is gone.
            RequestFailed: the picture could not be made.
            MalformedResponse: the result holds no picture that can be read or fetched.
            ApiUnavailable, ApiTimeout, RateLimited: poll again; none of these is in doubt.
            FleetError: for the same reasons as a call of v1.
        """
        address = f"{self._origin}v2/requests/{request.request_id}"
        status = self._state(self._get(f"{address}/status"))
        if status != "COMPLETED":
            return None
        reply = self._get(address)
        self._state(reply)
        return self._result(reply, request)

    def _state(self, reply: Reply) -> str:
        """The status of a request, by the reply's body. A body with FAILED counts under any HTTP status."""
        body = read_object(reply.body)
        state = str(body.get("status", "")).upper()
        if state == "FAILED":
            reason = quoted(str(body.get("error") or api_message(reply.body)), self._key)
            raise RequestFailed(f"the API could not make the picture: {reason}", reply.status)
        _refuse_page(reply)
        if reply.status == 404:
            raise NotThere
        if not 200 <= reply.status < 300:
            raise again(read_error(reply.status, reply.headers, reply.body, self._key))
        if state not in {"QUEUED", "PROCESSING", "COMPLETED"}:
            raise ApiUnavailable("the API gives no known status of the request", reply.status)
        return state

    def _result(self, reply: Reply, request: Request) -> Answer:
        body = read_object(reply.body)
        figures = body.get("metrics") if isinstance(body.get("metrics"), dict) else {}
        assert isinstance(figures, dict)
        cost, taken = read_cost(str(figures.get("cost", ""))), (utc_now() - request.submitted).total_seconds()
        try:
            pictures = read_images(reply, self._fetched)
        except MalformedResponse as error:
            # This request was billed. Another one would be billed too, and is not likely to end better.
            error.http_status, error.cost, error.is_last = reply.status, cost, True
            error.reply = error.reply or reply
            quote_words(error, error.reply, self._key)
            raise
        return Answer(
            images=pictures,
            seconds=min(figure(figures, "total_time") or taken, max(taken, 0.0)),
            request_id=request.request_id,
            cost=cost,
            remaining_credits=read_credits(str(figures.get("remaining_credits", ""))),
            sandbox=reply.headers.get(SANDBOX_HEADER) is not None,
            reply=reply,
        )

    def _fetched(self, url: str) -> bytes:
        """The picture at a URL, by one request without the key that follows no redirect (restyle/segmind/links.py)."""
        reply = patient(lambda: self.links.ask(url))
        if reply.status in {403, 404, 410}:
            raise FileGone
        if reply.status != 200:
            raise ApiUnavailable(f"the result cannot be fetched: {reply.status}", reply.status)
        try:
            (picture,) = (item for item in unpack(reply.headers.get("content-type", ""), reply.body)[:1])
            if isinstance(picture, str):
                raise MalformedResponse("it is a link to another", kind="page")
            images.received(picture)
        except MalformedResponse as error:
            if error.kind.startswith("format "):
                error.reply = reply  # a second request would get the same
                raise
            # The picture is paid for. This may be an error page of the file's host, so it is fetched again.
            raise ApiUnavailable(f"the result is no picture as it was fetched: {error.message}", 200) from None
        return picture

    def _get(self, url: str) -> Reply:
        return patient(lambda: self._polls.ask("GET", url))

    # -- the account's history -----------------------------------------------------------------------------

    def recall(self, request: Request) -> Answer | None:
        """The result of a request that the queue no longer knows, from the history; None while there is none yet.

        Raises:
            CannotTell: the history cannot be read, or does not know the request.
            FileGone: its picture is gone.
            RequestFailed, ApiUnavailable, ApiTimeout, RateLimited: as `poll` does.
        """
        page = self._read_history(f"/{request.request_id}")
        row = page.get("data") if isinstance(page.get("data"), dict) else page
        assert isinstance(row, dict)
        if row.get("request_id") != request.request_id:
            raise CannotTell("the history does not tell of this request")
        state = str(row.get("model_status", "")).upper()
        if state == "FAILED":
            raise RequestFailed(f"the API could not make the picture: {quoted(str(row.get('error')), self._key)}")
        if state != "COMPLETED" or not isinstance(row.get("generation_url"), str):
            return None
        try:
            pictures = (self._fetched(row["generation_url"]),)
        except MalformedResponse as error:
            error.is_last, error.reply = True, error.reply or Reply(200, {}, json.dumps(row).encode(), 0.0)
            raise
        seconds = min((figure(row, "latency_ms") or 0.0) / 1000, LONGEST)
        return Answer(pictures, seconds, request.request_id, cost=read_cost(str(row.get("credits_deduction", ""))))

    def find(self, image: bytes, params: Params, since: datetime, *, is_ours: bool) -> Request | None:
        """Finds in the history a request whose id was lost; None where there is none.

        Args:
            image: the picture as sent. By its documentation the history has no pictures; where it has, they must match.
            params: the parameters as sent.
            since: the earliest time, by our clock, at which it can have been submitted.
            is_ours: whether no other job can have sent the same parameters.

        Raises:
            CannotTell: the history cannot be read, or the request may be another job's.
            ApiUnavailable, ApiTimeout, RateLimited: the history is out of reach just now.
        """
        matching = []
        for row in self.rows(since - CLOCK_SLACK):
            same = asks_for(row, image, params)
            if same is False or str(row.get("model_status", "")).upper() == "FAILED":
                continue
            if same is None and not is_ours:
                raise CannotTell("other jobs ask for the same parameters: give each its own seed, or none")
            matching.append(row)
        if not matching:
            return None
        # The oldest that is completed; else the oldest.
        row = min(matching, key=lambda row: (str(row.get("model_status")).upper() != "COMPLETED", read_time(row)))
        return Request(str(row["request_id"]), read_time(row))

    def rows(self, since: datetime, *, most_pages: int = MOST_PAGES) -> Iterator[dict[str, object]]:
        """The account's requests since a time, at most 31 days ago, in the API's order, which is not documented.

        Raises:
            CannotTell: the history cannot be read, or has more than `most_pages` pages of them.
            ApiUnavailable, ApiTimeout, RateLimited: the history is out of reach just now.
        """
        slug = urlsplit(self.url).path.rstrip("/").rpartition("/")[2]
        for page in range(1, most_pages + 1):
            query = {
                "page": page, "per_page": PER_PAGE, "from_date": f"{since:%Y-%m-%d}", "model_name": slug,
                "to_date": f"{utc_now() + timedelta(days=1):%Y-%m-%d}",
            }  # fmt: skip
            rows = row_list(self._read_history(f"?{urlencode(query)}"))
            times = [read_time(row) for row in rows]
            for row, submitted in zip(rows, times, strict=True):
                if submitted < since:
                    continue
                if not _ID.fullmatch(str(row.get("request_id", ""))):
                    raise CannotTell("the history tells of requests without an id")
                yield row
            # The newest come first, and the last one here is older than `since`: so are all that follow.
            if len(rows) < PER_PAGE or times[-1] < min(since, times[0]):
                return
        raise CannotTell(f"the history has more than {most_pages * PER_PAGE:,} requests since then")

    def _read_history(self, query: str) -> dict[str, object]:
        if not self._history_url:
            raise CannotTell("RESTYLE_HISTORY_URL is off")
        reply = self._get(self._history_url + query)
        _refuse_page(reply)
        if reply.status in {408, 429} or reply.status >= 500:
            raise again(read_error(reply.status, reply.headers, reply.body, self._key))
        if reply.status != 200:
            message = quoted(api_message(reply.body), self._key)
            raise CannotTell(f"the request history answers {reply.status}: {message}")
        page = read_json(reply.body)
        if isinstance(page, list):
            return {"data": page}
        if not isinstance(page, dict):
            # A proxy's page under a 200 does not mean that the account has no requests.
            raise CannotTell("the history's page cannot be read")
        return page

    def check_history(self) -> int:
        """How many requests the newest page of the history has.

        Raises:
            CannotTell, RestyleError: it cannot be read.
        """
        return len(row_list(self._read_history("?page=1&per_page=1")))

    def close(self) -> None:
        """Closes the connections."""
        for wire in (self._submits, self._polls, self.links):
            wire.close()


def _refuse_page(reply: Reply) -> None:
    """Raises ApiUnavailable for a 404 that the API did not write: a gateway's page says nothing of the request."""
    if reply.status == 404 and reply.body.strip() and read_json(reply.body) is None:
        raise ApiUnavailable("a gateway before the API answers 404 with a page of its own", 404)
