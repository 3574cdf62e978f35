"""What all viewers share: the look that is taken once a second while somebody looks, and the stream of changes.

Each open page has one server-sent event stream. It carries the parts of the page that have changed, as HTML.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeVar

from apps.session import is_embedded, session
from apps.views.moment import Moment, Row
from apps.views.overview import Side
from apps.views.run_detail import CloseUp
from config.settings import Settings
from restyle.errors import ConfigurationError, RestyleError, StateUnavailable, StoreUnavailable

#: Seconds between two looks.
EVERY = 1.0
#: Seconds without news after which a stream says that it is still there.
STILL_THERE = 15.0
CLOSE_UPS = 8
FIRST_ROWS = 50

Parts = dict[str, str]
T = TypeVar("T")


class Live:
    """The workspace as everybody who looks sees it."""

    def __init__(self, settings: Settings, *, worker: bool = False) -> None:
        self.settings = settings
        #: Whether the embedded stack has a worker while this lasts, so that runs can begin here.
        self._worker = worker
        self.sides: list[Side] = []
        self._stack = ExitStack()
        self._moments: list[Moment] = []
        self._taken = float("-inf")
        self._close_ups: OrderedDict[tuple[str, str], CloseUp] = OrderedDict()
        self._look = asyncio.Lock()
        self._waiting: asyncio.Task[None] | None = None
        self._near: dict[tuple[str, str], asyncio.Lock] = {}
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="look")
        #: Looks taken, for whoever measures.
        self.looks = 0
        self.stopping = False

    def open(self) -> None:
        """Opens the connections; starts the embedded servers where none are configured and none are up.

        Raises:
            ConfigurationError: a part is neither configured nor can be started.
            StateUnavailable, StoreUnavailable: a configured part cannot be reached.
        """
        here = self._stack.enter_context(session(self.settings, patient=False, worker=self._worker))
        self.sides = [Side("sandbox" if self.settings.sandbox else "api", here)]
        if not self.settings.sandbox:
            self.sides.append(Side("sandbox", here.sandboxed()))
        # The first page need not wait for what is read once.
        self._moments = [side.look() for side in self.sides]
        for side, moment in zip(self.sides, self._moments, strict=True):
            side.rows(side.ids[:FIRST_ROWS], moment)

    def close(self) -> None:
        """Closes the connections, and ends the servers that were started here and are used by nobody else."""
        self.stopping = True
        self._close_ups.clear()
        for side in self.sides:
            side.close()
        self._stack.close()
        self._stack = ExitStack()

    async def call(self, job: Callable[[], T]) -> T:
        """Does something that waits for Redis or S3 in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, job)

    def later(self, job: Callable[[], object]) -> None:
        """Does something in a thread that nobody waits for; what goes wrong with it is dropped."""
        self._threads.submit(job)

    def at_the_end(self, close: Callable[[], None]) -> None:
        """Has something closed with the doors."""
        self._stack.callback(close)

    async def rows(self, side: Side, ids: list[str], moment: Moment) -> list[Row]:
        """The rows of these runs; where Redis or S3 is out of reach, of those that are known."""
        if self.troubled:
            return side.known(ids, moment)
        try:
            return await self.call(lambda: side.rows(ids, moment)) if ids else []
        except (StateUnavailable, StoreUnavailable):
            return side.known(ids, moment)

    async def now(self, *, at_most: float = EVERY) -> list[Moment]:
        """How every side stands; a look of the last moment serves all who ask.

        Nobody waits for a Redis that is away: it may be silent, and each question to it would take its time limit.
        """
        if not self.troubled:
            await self._refresh(at_most)
        elif self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._refresh(at_most))
        return self._moments

    @property
    def troubled(self) -> bool:
        """Whether Redis or S3 was out of reach at the last look."""
        return any(moment.trouble for moment in self._moments)

    async def _refresh(self, at_most: float) -> None:
        async with self._look:
            if time.monotonic() - self._taken >= at_most:
                await self.call(self._take)
                self._taken = time.monotonic()
                self.looks += 1

    def forget(self) -> None:
        """Lets the next look be a new one: something was just done."""
        self._taken = float("-inf")
        for near in self._close_ups.values():
            near.taken = float("-inf")

    def _take(self) -> None:
        """Takes a look. What cannot be reached leaves what was known, and says so."""
        try:
            self._moments = [side.look() for side in self.sides]
        except RestyleError as error:
            if isinstance(error, StateUnavailable) and is_embedded(self.settings) and self._reopen():
                return
            known = self._moments or [Moment(side.name, time.time()) for side in self.sides]
            self._moments = [replace(moment, trouble=error.message) for moment in known]

    def _reopen(self) -> bool:
        """The embedded servers ended with the command that had started them: brings them up anew."""
        try:
            self.close()
            self.stopping = False
            self.open()
        except RestyleError:
            return False
        return True

    # -- one run -----------------------------------------------------------------------------------------------

    async def row(self, run_id: str) -> tuple[Side, Row]:
        """A run and the side that it is on.

        Raises:
            ConfigurationError: there is no such run.
            StateUnavailable: whether there is cannot be determined now.
        """
        moments = await self.now()
        for side, moment in zip(self.sides, moments, strict=True):
            if rows := await self.rows(side, [run_id], moment):
                return side, rows[0]
        if trouble := next((moment.trouble for moment in moments if moment.trouble), ""):
            raise StateUnavailable(trouble)
        raise ConfigurationError(f"There is no run {run_id} in this workspace.")

    async def near(self, side: Side, row: Row) -> CloseUp:
        """The run from near, with what had ended a moment ago."""
        key = (side.name, row.run.run_id)
        async with self._near.setdefault(key, asyncio.Lock()):
            kept = self._close_ups.get(key)
            if kept is None or kept.session is not side.session:
                kept = self._close_ups[key] = CloseUp(side.session, row.run.run_id)
            self._close_ups.move_to_end(key)
            while len(self._close_ups) > CLOSE_UPS:
                old, _ = self._close_ups.popitem(last=False)
                self._near.pop(old, None)
            if time.monotonic() - kept.taken >= EVERY * 0.9 and not self.troubled:
                try:
                    await self.call(lambda: kept.look(row))
                except (StateUnavailable, StoreUnavailable):
                    kept.taken = time.monotonic()  # what was known is shown; the banner says why
            return kept

    # -- the stream --------------------------------------------------------------------------------------------

    async def stream(self, parts: Callable[[], Awaitable[Parts]], allowed: Callable[[], bool]) -> AsyncIterator[str]:
        """Sends the parts of a page that have changed, for as long as somebody listens who may."""
        sent: Parts = {}
        last = time.monotonic()
        yield "retry: 2000\n\n"
        while not self.stopping and allowed():
            try:
                now = await parts()
            except RestyleError:  # out of reach for a moment; the banner of the next look says why
                now = sent
            changed = {name: html for name, html in now.items() if sent.get(name) != html}
            if changed:
                yield f"data: {json.dumps(changed, ensure_ascii=False)}\n\n"
                sent, last = now, time.monotonic()
            elif time.monotonic() - last > STILL_THERE:
                yield ": still there\n\n"
                last = time.monotonic()
            await asyncio.sleep(EVERY)
