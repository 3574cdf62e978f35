"""The sandbox's API: one account, the blocking call, and the endpoint that controls its behaviour.

Contract: segmind.com/models/sdxl-img2img/api; where the page is silent, docs/formats.md.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from apps.sandbox import faults, styles
from apps.sandbox.account import Account
from apps.sandbox.options import BAD_PICTURES, BILLED_FAULTS, LATER_FAULTS, SandboxOptions
from restyle.models import MAX_SEED, SCHEDULERS, Params

#: Pictures transformed at a time, in threads: the event loop stays free for hundreds of waiting calls.
THREADS = 2


@dataclass(frozen=True)
class Call:
    """A valid request."""

    image: bytes
    params: Params

    @property
    def key(self) -> str:
        """A digest of picture, prompt and seed: equal for calls that ask for the same result."""
        content = self.image + self.params.prompt.encode() + str(self.params.seed).encode()
        return hashlib.sha256(content).hexdigest()[:16]


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Sandbox:
    """One account behind one address."""

    def __init__(self, options: SandboxOptions) -> None:
        self.options = options
        self.account = Account(options.credits)
        #: Told of each blocking call that was billed: its id, the call, its cost, the pictures, and when it began.
        self.on_made: Callable[[str, Call, float, list[bytes], float], None] = lambda *_: None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="styles")

    # -- the API -------------------------------------------------------------------------------------------

    async def img2img(self, request: Request) -> Response:
        """`POST /v1/sdxl-img2img`."""
        self.account.begin()
        status = "aborted"
        try:
            response, status = await self._answer(request)
            return response
        except Refused as error:
            status = str(error.status)
            return self.error(error.status, str(error))
        except ClientDisconnect:
            return Response(status_code=499)
        finally:
            self.account.end(status)

    async def _answer(self, request: Request) -> tuple[Response, str]:
        call, fault = await self.read(request)
        if fault in LATER_FAULTS:
            fault = "422" if fault == "failed" else ""  # of the queue; here the answer is the call's end
        if fault and fault not in BILLED_FAULTS | BAD_PICTURES:
            return await self.fail(request, fault)
        return await self._make(request, call, fault, self.reserve(call)), "200"

    async def read(self, request: Request) -> tuple[Call, str]:
        """Parses a request, and draws its fault."""
        body = await request.body()
        self.check_key(request)
        call = read_call(request.headers.get("content-type", ""), body)
        return call, self._next_fault(call.params.prompt)

    def reserve(self, call: Call) -> float:
        """Reserves a call's cost, and returns it, in credits.

        Raises:
            Refused: the balance does not suffice.
        """
        self._check_rate()
        cost = self.options.price * call.params.samples * call.params.num_inference_steps / 30
        cost *= 1 + random.uniform(-1, 1) * self.options.price_spread
        if not self.account.reserve(cost):
            raise Refused(406, f"Not enough credits: balance {self.account.balance:.4f}, this call needs {cost:.4f}")
        return cost

    async def pictures(self, call: Call, fault: str) -> tuple[int, list[bytes]]:
        """Waits for the latency and makes the pictures; returns the seed and them. A fault makes them bad ones."""
        await asyncio.sleep(self.options.latency + random.uniform(0, self.options.jitter))
        seed = call.params.seed if call.params.seed >= 0 else random.randrange(2**31)
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self._threads, styles.restyle, call.image, call.params, seed)
        except styles.NoPicture as error:
            raise Refused(400, f"image: {error}") from None
        if fault in BAD_PICTURES:
            made = [faults.bad_picture(fault, call.image, picture) for picture in made]
        return seed, made

    async def _make(self, request: Request, call: Call, fault: str, cost: float) -> Response:
        """Makes the pictures, and bills them."""
        began, begun_at, request_id = time.monotonic(), time.time(), uuid4().hex
        billed = False
        try:
            seed, pictures = await self.pictures(call, fault)
            self.account.charge(cost, call.key)
            billed = True
            self.on_made(request_id, call, cost, pictures, begun_at)
        finally:
            if not billed:
                self.account.release(cost)
        extra = {
            "x-cost": f"{cost:.6f}",
            "x-generation-time": f"{time.monotonic() - began:.3f}",
            "x-seed-value": str(seed),
            "x-request-id": request_id,
        }
        response = self._shown(call.params, pictures, extra)
        if not fault or fault in BAD_PICTURES:
            return response
        self.account.spoiled += 1
        return faults.spoil(fault, response, request)

    def _shown(self, params: Params, pictures: list[bytes], extra: dict[str, str]) -> Response:
        headers = self.headers(extra)
        if params.base64 or params.samples > 1:
            texts = [base64.b64encode(picture).decode() for picture in pictures]
            return JSONResponse({"image": texts[0] if len(texts) == 1 else texts}, headers=headers)
        return Response(pictures[0], media_type="image/jpeg", headers=headers)

    async def fail(self, request: Request, fault: str) -> tuple[Response, str]:
        """Answers with a fault that is not billed."""
        if fault == "timeout":
            await request.receive()  # returns when the client has left
            return Response(status_code=499), "timeout"
        if fault == "reset":
            await asyncio.sleep(min(self.options.latency, 0.2))
            faults.reset(request)
            return Response(status_code=499), "reset"
        status, _, words = fault.partition(":")
        if status == "429":
            return self._limited(2.0), "429"
        await asyncio.sleep(self.options.latency if fault.startswith("5") else 0)
        words = words.strip() or self.options.messages.get(status) or faults.MESSAGES.get(status, "Server error")
        raise Refused(int(status), words)

    def check_key(self, request: Request) -> None:
        """Raises Refused where the key is missing or wrong."""
        key = request.headers.get("x-api-key", "")
        if not key:
            raise Refused(401, "API key is missing")
        if self.options.api_key and key != self.options.api_key:
            raise Refused(401, "API key is not valid")

    def _next_fault(self, prompt: str) -> str:
        for script in self.options.scripts:
            if script.matches(prompt):
                answer = script.answers.pop(0)
                return "" if answer == "200" else answer
        return faults.fault_at(self.options.rates)

    def _check_rate(self) -> None:
        if not self.options.rpm:
            return
        now = time.time()
        recent = [at for at in self.account.begun if at > now - 60]
        if len(recent) > self.options.rpm:
            raise HTTPException(429, headers=self._reset_headers(recent[0] + 60 - now))

    def _limited(self, seconds: float) -> Response:
        return JSONResponse({"error": "Rate limit exceeded"}, 429, headers=self.headers(self._reset_headers(seconds)))

    def _reset_headers(self, seconds: float) -> dict[str, str]:
        if self.options.reset_headers:
            return self.options.reset_headers
        if self.options.reset_header == "retry-after":
            return {"retry-after": str(max(1, round(seconds + 0.5)))}
        if self.options.reset_header == "none":
            return {}
        return {"x-rate-limit-reset-at-utc": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()}

    async def credits(self, request: Request) -> Response:
        """`GET /v1/get-user-credits`."""
        try:
            self.check_key(request)
        except Refused as error:
            return self.error(error.status, str(error))
        self.account.balance_asked += 1
        if self.options.credits_body:
            return Response(self.options.credits_body, media_type="application/json")
        return JSONResponse({"credits": round(self.account.balance, 6), "free-credits": 0.0}, headers=self.headers({}))

    def error(self, status: int, message: str) -> Response:
        """An error in the API's form."""
        return JSONResponse({"error": message}, status, headers=self.headers({}))

    def headers(self, extra: dict[str, str]) -> dict[str, str]:
        """The headers of an answer: the usual ones and the extra ones."""
        always = {"x-restyle-sandbox": "1", "x-request-id": uuid4().hex}
        if not self.options.headers:
            limits = {k: v for k, v in extra.items() if "reset" in k or k == "retry-after"}
            return {"x-restyle-sandbox": "1"} | limits
        return always | {"x-remaining-credits": f"{self.account.balance:.6f}"} | extra

    # -- control -------------------------------------------------------------------------------------------

    async def control(self, request: Request) -> Response:
        """`GET /control`: counters. `POST /control`: any option, `balance`, or `top_up`, from now on."""
        if request.method == "POST":
            if "origin" in request.headers:
                return self.error(403, "This came from a web page")
            try:
                self._change(await request.json())
            except (ValidationError, ValueError, TypeError, AttributeError, RecursionError) as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"options": self.options.model_dump(exclude={"api_key"}), **self.account.counters()})

    def _change(self, changes: dict[str, Any]) -> None:
        self.account.balance += float(changes.pop("top_up", 0))
        if "balance" in changes:
            self.account.balance = float(changes.pop("balance"))
        self.options = SandboxOptions.model_validate(self.options.model_dump() | changes)


def read_call(content_type: str, body: bytes) -> Call:
    """Parses a request.

    Raises:
        Refused: it is invalid; the message names the field.
    """
    if "application/json" not in content_type:
        raise Refused(406, "Invalid content type: send application/json")
    try:
        fields = Fields.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "body"
        raise Refused(400, f"{name}: {first['msg']}") from None
    if fields.scheduler not in SCHEDULERS:
        raise Refused(400, f"scheduler: {fields.scheduler!r} is not one of {', '.join(SCHEDULERS)}")
    if fields.seed > MAX_SEED:
        raise Refused(400, f"seed: at most {MAX_SEED}")
    text = fields.image.partition(",")[2] if fields.image.startswith("data:") else fields.image
    try:
        image = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "image: not base64") from None
    return Call(image, Params(**fields.model_dump(exclude={"image"})))


class Fields(Params):
    """The request's JSON fields."""

    image: str
