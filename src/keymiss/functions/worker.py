"""The worker's loop: attach, walk, take, compute, answer; and again after every lost connection."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import valkey
import valkey.asyncio
from valkey.exceptions import ValkeyError

from keymiss.functions.connection import FunctionConnection, Item
from keymiss.functions.function import Event, Function, Result, Shard

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 2.0
SCAN_COUNT = 1000
LOST = (valkey.ConnectionError, valkey.TimeoutError, ConnectionError, TimeoutError)
"""What says that a server could not be reached, which another try may mend."""


async def serve(
    functions: Sequence[Function],
    url: str,
    stop: asyncio.Event,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serves the functions on one server until `stop` is set, then finishes what is in hand.

    Functions that follow writes attach and walk their keys first, so that the others find what
    they need when the first miss arrives. `on_ready` is called when all are attached.

    Raises:
        SetupError: a function cannot be served as it is, by any number of tries.
        Superseded: another version of a function has taken over.
    """
    client = valkey.asyncio.Valkey.from_url(url)
    shard = Shard(url, client)
    tasks: list[asyncio.Task[None]] = []
    try:
        for kind in ("WRITE", "MISS"):
            attached = []
            for function in functions:
                if function.kind == kind:
                    ready = asyncio.Event()
                    attached.append(ready)
                    loop = _serve_function(function, shard, stop, ready)
                    tasks.append(asyncio.create_task(loop, name=function.name))
            await _until_set(attached, tasks)
        if not stop.is_set():
            on_ready()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.aclose()


async def _until_set(events: list[asyncio.Event], tasks: list[asyncio.Task[None]]) -> None:
    """Returns when all events are set, or one of the tasks has ended, whose error it raises."""

    async def all_set() -> None:
        for event in events:
            await event.wait()

    waiting = asyncio.create_task(all_set())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in tasks:
        if task.done():
            task.result()


async def _serve_function(
    function: Function, shard: Shard, stop: asyncio.Event, ready: asyncio.Event
) -> None:
    retry = FIRST_RETRY_SECONDS
    while not stop.is_set():
        connection = FunctionConnection(shard.url, function)
        try:
            await _attach(function, shard, connection)
            ready.set()
            retry = FIRST_RETRY_SECONDS
            waking = asyncio.create_task(_end_take_at(stop, shard, connection))
            try:
                await _take_and_answer(function, shard, connection, stop)
            finally:
                waking.cancel()
        except (TimeoutError, ValkeyError, OSError) as error:
            if stop.is_set():
                break
            # Jitter: workers that lost the same server do not come back in the same instant.
            pause = retry * random.uniform(0.5, 1.5)
            logger.warning("%s: %s; attaching again in %.2f s", function.name, error, pause)
            await _pause(pause, stop)
            retry = min(2 * retry, LONGEST_RETRY_SECONDS)
        finally:
            await connection.close()
    ready.set()


async def _end_take_at(stop: asyncio.Event, shard: Shard, connection: FunctionConnection) -> None:
    """Closing the connection instead could lose an item that is on its way."""
    await stop.wait()
    with contextlib.suppress(ValkeyError, OSError):
        await connection.end_take(shard.client)


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _attach(function: Function, shard: Shard, connection: FunctionConnection) -> None:
    clean = await connection.attach()
    if function.kind == "WRITE":
        # After attaching: what is written during the walk is an event.
        await _walk(function, shard)
    elif not clean:
        await _drop_cached(function, shard)
        await connection.declare_clean()


async def _take_and_answer(
    function: Function, shard: Shard, connection: FunctionConnection, stop: asyncio.Event
) -> None:
    results: list[tuple[Item, Result]] = []
    while not stop.is_set():
        items = await connection.exchange(results)
        results = []
        lost = [item for item in items if item.event == "overflow"]
        if lost:
            await _walk(function, shard)
            results.extend((item, None) for item in lost)
        told = [item for item in items if item.event != "overflow"]
        if told:
            events = [Event(item.key.decode("utf-8", "surrogateescape"), shard) for item in told]
            results.extend(zip(told, await _handle(function, events), strict=True))
    if results:
        await connection.exchange(results, take=False)


async def _handle(function: Function, events: Sequence[Event]) -> list[Result]:
    """Computes; a write that could not be followed for a lost server makes us attach again."""
    results = await compute(function, events)
    if function.kind == "WRITE":
        for result in results:
            if isinstance(result, LOST):
                raise result
    return results


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


async def _walk(function: Function, shard: Shard) -> None:
    """Tells the handler of every key under the prefix, of those that it knows and are gone, and of
    those that it has derived."""
    gone = set(function.known(shard)) if function.known else set()
    batch: list[Event] = []
    async for key in _keys(function, shard):
        gone.discard(key)
        batch.append(Event(key, shard))
        if len(batch) == function.batch:
            await _handle(function, batch)
            batch = []
    batch.extend(Event(key, shard) for key in gone)
    if batch:
        await _handle(function, batch)


async def _keys(function: Function, shard: Shard) -> AsyncIterator[str]:
    for prefix in (function.prefix, function.derived):
        if prefix:
            async for raw in shard.client.scan_iter(_pattern(prefix), SCAN_COUNT):
                yield raw.decode("utf-8", "surrogateescape")


async def _drop_cached(function: Function, shard: Shard) -> None:
    """Deletes what workers of another version have computed."""
    batch: list[bytes] = []
    async for key in shard.client.scan_iter(_pattern(function.prefix), SCAN_COUNT):
        batch.append(key)
        if len(batch) == SCAN_COUNT:
            await shard.client.execute_command("KEYMISS.DROP", *batch)
            batch = []
    if batch:
        await shard.client.execute_command("KEYMISS.DROP", *batch)


def _pattern(prefix: str) -> str:
    special = str.maketrans({letter: f"\\{letter}" for letter in "*?[]^\\"})
    return prefix.translate(special) + "*"
