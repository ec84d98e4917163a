"""Calls a handler with what has been handed out meanwhile, on all shards together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from keymiss.functions.calling import compute
from keymiss.functions.function import Event, Function, Result
from keymiss.functions.metrics import BATCH_EVENTS, HANDLER_SECONDS, QUEUE_SECONDS

More = Callable[[int], Awaitable[Sequence[Event]]]
"""Gives what a shard can hand out besides, so many at most, without waiting for it to come."""

LATE_SECONDS = 0.005
"""What has waited for longer is worth a round trip: more may have been asked for since."""

MORE_SECONDS = 3.0
"""How long a shard that does not say whether it has more holds up the others."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """Events that came from one shard while the handler was busy."""

    events: list[Event]
    more: More | None
    future: asyncio.Future[list[Result]]
    since: float


class Batches:
    """The calls of one function's handler, one at a time.

    An idle handler is called at once; what comes from any shard while it is busy is in the next
    call, up to `limit`.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self.limit = function.batch
        """Events in one call, so many that it takes a fifth of what clients wait at most."""
        self._waiting: deque[_Waiting] = deque()
        self._batch_events = BATCH_EVENTS.of(function.name)
        self._handler_seconds = HANDLER_SECONDS.of(function.name)
        self._queue_seconds = QUEUE_SECONDS.of(function.name)
        self._is_busy = False
        self._running: asyncio.Task[None] | None = None

    async def handle(self, events: Sequence[Event], more: More | None = None) -> list[Result]:
        """One result for each event; what the handler raises becomes the result of its event.

        Args:
            more: is asked, when these events have had to wait, for others to go with them, whose
                results follow. What it raises is raised.
        """
        if not events:
            return []
        if self._is_busy:
            future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(list(events), more, future, time.monotonic()))
            return await future
        self._is_busy = True
        self._queue_seconds.observe(0.0)
        try:
            return await self._compute(events)
        finally:
            # A lone event costs no task; what has come meanwhile is no reason to wait.
            self._is_busy = bool(self._waiting)
            if self._is_busy:
                self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._ask_for_more()
                parts = self._next_parts()
                if not parts:
                    break
                for part in parts:
                    self._queue_seconds.observe(time.monotonic() - part.since)
                results = iter(await self._compute([one for part in parts for one in part.events]))
                for part in parts:
                    own = [next(results) for _ in part.events]
                    if not part.future.done():  # whoever waited may have been stopped
                        part.future.set_result(own)
        finally:
            self._is_busy = False
            for part in self._waiting:
                part.future.cancel()

    async def _compute(self, events: Sequence[Event]) -> list[Result]:
        started = time.monotonic()
        results = await compute(self._function, events)
        seconds = time.monotonic() - started
        self._adapt(results, seconds)
        self._batch_events.observe(len(events))
        self._handler_seconds.observe(seconds)
        return results

    def _adapt(self, results: Sequence[Result], seconds: float) -> None:
        longest = self._function.timeout / 1000 / 5
        is_slow = seconds > longest
        # A small batch that was quick says little of what a large one takes.
        if not longest or not (is_slow or len(results) >= self.limit):
            return
        # Keys that are refused take no time, and say nothing of what others take.
        computed = sum(not isinstance(result, Exception) for result in results)
        if computed or is_slow:
            fitting = int((computed or len(results)) * longest / max(seconds, 1e-6))
            self.limit = max(1, min(fitting, 2 * self.limit, self._function.batch))

    async def _ask_for_more(self) -> None:
        """Lets each shard add to what has waited: it handed out what was there when the first miss
        came, and the questions of one search come one after the other."""
        late = time.monotonic() - LATE_SECONDS
        asked = [part for part in self._waiting if part.more and part.since < late]
        replies = await asyncio.gather(*map(self._more_of, asked), return_exceptions=True)
        for part, reply in zip(asked, replies, strict=True):
            if isinstance(reply, BaseException):
                self._waiting.remove(part)
                if not part.future.done():
                    part.future.set_exception(reply)
            else:
                part.events.extend(reply)

    async def _more_of(self, part: _Waiting) -> Sequence[Event]:
        room = self.limit - len(part.events)
        if not part.more or room <= 0:
            return []
        async with asyncio.timeout(MORE_SECONDS):
            return await part.more(room)

    def _next_parts(self) -> list[_Waiting]:
        parts: list[_Waiting] = []
        count = 0
        while self._waiting:
            count += len(self._waiting[0].events)
            if parts and count > self.limit:
                break
            parts.append(self._waiting.popleft())
        return parts
