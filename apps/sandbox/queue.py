"""The sandbox's queue: `/v2` accepts a request, gives its status, and its result by URL.

Contract: docs.segmind.com/docs/serverless-api/async-inference, and the official Python SDK (v2.py, generations.py).
An accepted request is made and billed, whether or not its result is fetched; one that fails is not billed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apps.sandbox import faults
from apps.sandbox.accepted import MODEL, Queued
from apps.sandbox.options import BAD_PICTURES, BILLED_FAULTS, LATER_FAULTS
from apps.sandbox.server import Call, Refused, Sandbox

#: Most requests that are kept, and most of them with their pictures.
REMEMBERED, PICTURED = 20_000, 500
#: Share of a call's time that it waits in the queue.
WAITING = 0.3

Handler = Callable[[Request], Awaitable[Response]]


class Queue:
    """The requests of one account."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._requests: OrderedDict[str, Queued] = OrderedDict()
        self._making: set[asyncio.Task[None]] = set()
        #: Those whose pictures are kept, oldest first.
        self._pictured: deque[Queued] = deque()
        sandbox.on_made = self._add_made

    def routes(self) -> list[Route]:
        """The routes of the queue."""
        handlers: dict[str, Handler] = {
            "/v2/requests/{request_id}/status": self.status,
            "/v2/requests/{request_id}": self.result,
            "/v1/requests/{request_id}": self.result,
            "/inference-request/request-history": self.history,
            "/inference-request/request-history/{request_id}": self.one_of_history,
        }
        polls = [Route(path, self._guarded(handler)) for path, handler in handlers.items()]
        submit = Route(f"/v2/{MODEL}", self.submit, methods=["POST"])
        return [submit, *polls, Route("/files/{request_id}/{number:int}.jpg", self.file)]

    # -- a request -----------------------------------------------------------------------------------------

    async def submit(self, request: Request) -> Response:
        """`POST /v2/sdxl-img2img`: accepts a request and returns the URLs of its status and result."""
        account, status = self._sandbox.account, "aborted"
        account.begin()
        try:
            call, fault = await self._sandbox.read(request)
            if fault and fault not in BILLED_FAULTS | LATER_FAULTS | BAD_PICTURES:
                response, status = await self._sandbox.fail(request, fault)
                return response
            queued = Queued(str(uuid4()), call, self._sandbox.reserve(call), fault)
            status = ""
        except Refused as error:
            status = str(error.status)
            return self._sandbox.error(error.status, str(error))
        except ClientDisconnect:
            return Response(status_code=499)
        finally:
            if status:
                account.end(status)
        self._remember(queued)
        if fault == "lost":
            faults.reset(request)
        url = f"{request.base_url}v2/requests/{queued.request_id}"
        accepted = {
            "request_id": queued.request_id,
            "status": "QUEUED",
            "poll_url": f"{request.base_url}v1/requests/{queued.request_id}",
            "status_url": f"{url}/status",
            "response_url": url,
        }
        return JSONResponse(accepted, headers=self._sandbox.headers({}))

    def _add_made(self, request_id: str, call: Call, cost: float, pictures: list[bytes], began: float) -> None:
        """Puts a blocking call into the account's history: it was made and billed."""
        metrics = {"total_time": round(time.time() - began, 3)}
        made = Queued(request_id, call, cost, "", began, "COMPLETED", metrics=metrics)
        self._add(made)
        self._picture(made, pictures)

    def _add(self, queued: Queued) -> None:
        self._requests[queued.request_id] = queued
        while len(self._requests) > REMEMBERED:
            self._requests.popitem(last=False)

    def _picture(self, queued: Queued, pictures: list[bytes]) -> None:
        """Keeps the pictures of a request, and no more its input."""
        queued.pictures, queued.call = tuple(pictures), replace(queued.call, image=b"")
        self._pictured.append(queued)
        if len(self._pictured) > PICTURED:
            self._pictured.popleft().pictures = ()

    def _remember(self, queued: Queued) -> None:
        self._add(queued)
        making = asyncio.get_running_loop().create_task(self._make(queued))
        self._making.add(making)
        making.add_done_callback(self._making.discard)

    async def _make(self, queued: Queued) -> None:
        """Makes and bills a request, beside the calls that poll it."""
        account, options = self._sandbox.account, self._sandbox.options
        billed, began = False, time.monotonic()
        try:
            await asyncio.sleep(options.latency * WAITING)
            queued.status = "PROCESSING"
            waited = time.monotonic() - began
            seed, pictures = await self._sandbox.pictures(queued.call, queued.fault)
            if queued.fault == "stuck":
                await asyncio.Event().wait()
            queued.metrics = {
                "inference_time": round(time.monotonic() - began - waited, 3),
                "queue_time": round(waited, 3),
                "total_time": round(time.monotonic() - began, 3),
            }
            if queued.fault == "failed":
                raise Refused(422, faults.MESSAGES["422"])
            account.charge(queued.cost, queued.call.key)
            billed = True
            queued.seed = seed
            self._picture(queued, pictures)
            queued.metrics |= {"cost": round(queued.cost, 6), "remaining_credits": round(account.balance, 6)}
            queued.status = "COMPLETED"
        except Refused as error:
            queued.status, queued.error = "FAILED", str(error)
        finally:
            if not billed:
                account.release(queued.cost)
            account.end("200" if billed else "422")

    # -- polls ---------------------------------------------------------------------------------------------

    def _guarded(self, handler: Handler) -> Handler:
        """A handler of polls that checks the key, and answers with a fault at the rates of the options."""

        async def answer(request: Request) -> Response:
            try:
                self._sandbox.check_key(request)
                drawn = faults.fault_at(self._sandbox.options.polls)
                if drawn and drawn != "202":
                    return self._spoiled(drawn, request)
                answer = await handler(request)
                answer.status_code = int(drawn) if drawn and answer.status_code == 200 else answer.status_code
                return answer
            except Refused as error:
                return self._sandbox.error(error.status, str(error))

        return answer

    def _spoiled(self, fault: str, request: Request) -> Response:
        if fault == "reset":
            faults.reset(request)
            return Response(status_code=499)
        return self._sandbox.error(int(fault), faults.MESSAGES.get(fault, "Server error"))

    def _found(self, request: Request) -> Queued:
        queued = self._requests.get(request.path_params["request_id"])
        if queued is None or queued.fault == "expired":
            raise Refused(404, "Request not found or expired")
        return queued

    async def status(self, request: Request) -> Response:
        """`GET /v2/requests/<id>/status`: the status; 422 where the request failed."""
        queued = self._found(request)
        status = 422 if queued.status == "FAILED" else 200
        return JSONResponse(queued.reply(), status, headers=self._sandbox.headers({}))

    async def result(self, request: Request) -> Response:
        """`GET /v2/requests/<id>`: the whole result once there is one."""
        queued = self._found(request)
        body = queued.reply()
        if queued.status == "COMPLETED":
            urls = self._urls(request, queued)
            images = [
                {"url": url, "content_type": "image/jpeg", "file_name": url.rpartition("/")[2], "file_size": str(size)}
                for url, size in zip(urls, map(len, queued.pictures), strict=False)
            ]
            body |= {"output": urls[0], "images": images, "seed": str(queued.seed)}
        status = 422 if queued.status == "FAILED" else 200
        return JSONResponse(body, status, headers=self._sandbox.headers({}))

    async def file(self, request: Request) -> Response:
        """A picture by its URL, which nobody can guess, so it needs no key."""
        drawn = faults.fault_at(self._sandbox.options.downloads)
        if drawn and drawn != "html":
            return self._spoiled(drawn, request)
        queued = self._requests.get(request.path_params["request_id"])
        number = request.path_params["number"]
        if queued is None or number >= len(queued.pictures):
            return Response("not found", 404)
        response = Response(queued.pictures[number], media_type="image/jpeg")
        if drawn:
            return faults.spoil(drawn, response, request)  # this download, not the picture
        fault = queued.fault
        if fault == "reset_midway":
            queued.fault = ""  # of the connection: the file is whole, and the next download gets it
        elif fault in BILLED_FAULTS - {"lost"}:
            self._sandbox.account.spoiled += 1
        else:
            return response
        return faults.spoil(fault, response, request)

    def _urls(self, request: Request, queued: Queued) -> list[str]:
        count = queued.call.params.samples
        return [f"{request.base_url}files/{queued.request_id}/{number}.jpg" for number in range(count)]

    # -- the account's history -----------------------------------------------------------------------------

    async def history(self, request: Request) -> Response:
        """`GET /inference-request/request-history`: a page of the account's requests, newest first."""
        self._check_history()
        query = request.query_params
        page, per_page = int(query.get("page", 1)), min(100, int(query.get("per_page", 20)))
        first, last = (date.fromisoformat(query.get(name, "")) if query.get(name) else None for name in
                       ("from_date", "to_date"))  # fmt: skip
        now, lag = time.time(), self._sandbox.options.history_lag
        rows = [
            row
            for queued in reversed(self._requests.values())
            if queued.submitted <= now - lag
            and (first is None or queued.day >= first)
            and (last is None or queued.day <= last)
            and query.get("model_name", "") in MODEL
            for row in self._rows(request, queued)
            if query.get("status", row["model_status"]) == row["model_status"]
        ]
        shown = rows[(page - 1) * per_page : page * per_page]
        pages = math.ceil(len(rows) / per_page)
        return JSONResponse({"data": shown, "page": page, "per_page": per_page, "total": len(rows), "pages": pages})

    async def one_of_history(self, request: Request) -> Response:
        """`GET /inference-request/request-history/<id>`: one request, however old."""
        self._check_history()
        queued = self._requests.get(request.path_params["request_id"])
        if queued is None:
            raise Refused(404, "Request not found")
        return JSONResponse(self._rows(request, queued)[0])

    def _check_history(self) -> None:
        if not self._sandbox.options.history:
            raise Refused(403, "Request history is not enabled for your team")

    def _rows(self, request: Request, queued: Queued) -> list[dict[str, Any]]:
        """A request in the history: one row an output, without the input's picture."""
        done = queued.status == "COMPLETED"
        at = datetime.fromtimestamp(queued.submitted, UTC).isoformat()
        row = {
            "request_id": queued.request_id,
            "model_name": MODEL,
            "model_status": queued.status if queued.status in {"COMPLETED", "FAILED"} else "PENDING",
            "credits_deduction": queued.cost if done else 0.0,
            "request_body": queued.call.params.as_sent(),
            "generation_url": None,
            "latency_ms": round(queued.metrics.get("total_time", 0) * 1000),
            "model_created": at,
            "error": queued.error or None,
        }
        return [row | {"generation_url": url} for url in self._urls(request, queued)] if done else [row]
