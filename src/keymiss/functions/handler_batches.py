"""Calls a handler with the events that all shards have handed out while it was busy."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from keymiss.functions.function import Event, Function, Result
from keymiss.functions.handler_call import compute
from keymiss.functions.metrics import BATCH_EVENTS, HANDLER_SECONDS, QUEUE_SECONDS

More = Callable[[int], Awaitable[Sequence[Event]]]
"""Gives further events that the shard has at hand, at most this many, without waiting."""

LATE_SECONDS = 0.005
"""Events that have waited longer are worth a round trip: the shard may have more by then."""

MORE_SECONDS = 0.5
"""How long events of other shards wait for a shard that does not say whether it has more."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """Events that came from one shard while the handler was busy."""

    events: list[Event]
    more: More | None
    alone: bool
    future: asyncio.Future[list[Result]]
    since: float
    asking: asyncio.Future[Sequence[Event]] | None = None
    """The request for more events; until it is done, these events wait."""

    def ask(self, room: int) -> asyncio.Future[Sequence[Event]]:
        """Asks the shard for more events, at most `room`."""
        assert self.more
        self.asking = asyncio.ensure_future(self.more(room))
        return self.asking

    def take_over(self) -> None:
        """Adds the further events; when the request has failed, these events fail, too."""
        if not self.asking or not self.asking.done():
            return
        asking, self.asking = self.asking, None
        error = asking.exception()
        if error is None:
            self.events.extend(asking.result())
        elif not self.future.done():
            self.future.set_exception(error)


class Batches:
    """The calls of one function's handler, one at a time.

    An idle handler is called at once. Events that come from any shard while it is busy go into the
    next call, up to `limit`.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self.limit = function.batch
        """How many events fit into a call that takes at most a fifth of the clients' patience."""
        self._waiting: deque[_Waiting] = deque()
        self._batch_events = BATCH_EVENTS.of(function.name)
        self._handler_seconds = HANDLER_SECONDS.of(function.name)
        self._queue_seconds = QUEUE_SECONDS.of(function.name)
        self._is_busy = False
        self._running: asyncio.Task[None] | None = None

    async def handle(
        self, events: Sequence[Event], more: More | None = None, alone: bool = False
    ) -> list[Result]:
        """One result for each event; an exception of the handler becomes the result of its event.

        Args:
            more: called when these events have had to wait. The events that it gives join them,
                and their results follow. What it raises is raised here.
            alone: whether no other events may be in the same call.
        """
        if not events:
            return []
        if self._is_busy:
            future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
            since = time.monotonic()
            self._waiting.append(_Waiting(list(events), more, alone, future, since))
            return await future
        self._is_busy = True
        self._queue_seconds.observe(0.0)
        try:
            return await self._compute(events)
        finally:
            # A task handles the events that came meanwhile: this caller does not wait for them.
            self._is_busy = bool(self._waiting)
            if self._is_busy:
                self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._ask_for_more()
                parts = self._next_parts()
                if not parts:
                    continue
                for part in parts:
                    self._queue_seconds.observe(time.monotonic() - part.since)
                results = iter(await self._compute([one for part in parts for one in part.events]))
                for part in parts:
                    own = [next(results) for _ in part.events]
                    if not part.future.done():  # the caller may have been cancelled
                        part.future.set_result(own)
        finally:
            self._is_busy = False
            for part in self._waiting:
                part.future.cancel()
            self._drop_stopped()

    async def _compute(self, events: Sequence[Event]) -> list[Result]:
        started = time.monotonic()
        results = await compute(self._function, events)
        seconds = time.monotonic() - started
        self._adapt(results, seconds)
        self._batch_events.observe(len(events))
        self._handler_seconds.observe(seconds)
        return results

    def _adapt(self, results: Sequence[Result], seconds: float) -> None:
        longest = self._function.patience / 5
        is_slow = seconds > longest
        # A small batch that was quick says little about the time of a large one.
        if not longest or not (is_slow or len(results) >= self.limit):
            return
        # Keys that are refused take no time, and say nothing about the time of others.
        computed = sum(not isinstance(result, Exception) for result in results)
        if computed or is_slow:
            fitting = int((computed or len(results)) * longest / max(seconds, 1e-6))
            self.limit = max(1, min(fitting, 2 * self.limit, self._function.batch))

    async def _ask_for_more(self) -> None:
        """Lets each shard add to its waiting events. It handed out what was there when the first
        miss came, but the questions of one search come one after the other."""
        self._drop_stopped()
        late = time.monotonic() - LATE_SECONDS
        asked = [part for part in self._waiting if part.more and part.since < late]
        asked = [part for part in asked if not part.asking]
        room = self.limit - sum(len(part.events) for part in self._waiting)
        asking = [part.ask(room // len(asked)) for part in asked if room >= len(asked)]
        if not asking and all(part.asking for part in self._waiting):
            asking = [part.asking for part in self._waiting if part.asking]
        if asking:
            await asyncio.wait(asking, timeout=MORE_SECONDS)
        for part in self._waiting:
            part.take_over()

    def _drop_stopped(self) -> None:
        """Forgets the events whose callers do not wait any more."""
        for part in self._waiting:
            if part.future.done() and part.asking:
                part.asking.cancel()
        self._waiting = deque(part for part in self._waiting if not part.future.done())

    def _next_parts(self) -> list[_Waiting]:
        """The first parts that fit into one call, without those whose shard is still asked."""
        parts: list[_Waiting] = []
        count = 0
        for part in self._waiting:
            if part.asking or part.future.done():
                continue
            count += len(part.events)
            if parts and (part.alone or parts[0].alone or count > self.limit):
                break
            parts.append(part)
        self._waiting = deque(part for part in self._waiting if part not in parts)
        return parts
