"""Calls a handler with what has been handed out meanwhile, on all shards together."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Sequence

from keymiss.functions.function import Event, Function, Result

logger = logging.getLogger(__name__)


class Batches:
    """The calls of one function's handler, one at a time.

    An idle handler is called at once; what comes from any shard while it is busy is in the next
    call, up to the function's `batch`.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._waiting: deque[tuple[Sequence[Event], asyncio.Future[list[Result]]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def handle(self, events: Sequence[Event]) -> list[Result]:
        """One result for each event; what the handler raises becomes the result of its event."""
        if not events:
            return []
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                parts = self._next_parts()
                events = [event for part, _ in parts for event in part]
                results = iter(await compute(self._function, events))
                for part, future in parts:
                    own = [next(results) for _ in part]
                    if not future.done():  # whoever waited may have been stopped
                        future.set_result(own)
        finally:
            for _, future in self._waiting:
                future.cancel()

    def _next_parts(self) -> list[tuple[Sequence[Event], asyncio.Future[list[Result]]]]:
        parts = [self._waiting.popleft()]
        count = len(parts[0][0])
        while self._waiting and count + len(self._waiting[0][0]) <= self._function.batch:
            parts.append(self._waiting.popleft())
            count += len(parts[-1][0])
        return parts


async def compute(function: Function, events: Sequence[Event]) -> list[Result]:
    """One result for each event; what the handler raises becomes the result of its event."""
    try:
        results = await _call(function, events)
    except Exception as error:
        if len(events) == 1:
            logger.exception("%s failed on %r", function.name, events[0].key[:200])
            return [error]
        logger.warning("%s raised %r; its batch is tried one by one", function.name, error)
        return [(await compute(function, [event]))[0] for event in events]
    if function.kind == "WRITE":
        return [None] * len(events)
    return _checked(function, results, len(events))


async def _call(function: Function, events: Sequence[Event]) -> Sequence[Result] | None:
    if inspect.iscoroutinefunction(function.handler):
        awaited: Awaitable[Sequence[Result] | None] = function.handler(events)
        return await awaited
    return await asyncio.to_thread(function.handler, events)  # type: ignore[arg-type]


def _checked(function: Function, results: Sequence[Result] | None, count: int) -> list[Result]:
    if not isinstance(results, (list, tuple)) or len(results) != count:
        wrong = TypeError(f"{function.name} must return a list of {count} results")
        logger.error("%s", wrong)
        return [wrong] * count
    return [
        result
        if result is None or isinstance(result, (str, bytes, Exception))
        else TypeError(f"{function.name} returned {type(result).__name__}; text or bytes is needed")
        for result in results
    ]
