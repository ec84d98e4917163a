"""Serves all functions on one shard, and follows the slots that they may speak for there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from valkey.exceptions import ValkeyError

from keymiss.functions.function import Function, MissFunction, WriteFunction
from keymiss.functions.handler_batches import Batches
from keymiss.functions.miss_consumer import MissConsumer
from keymiss.functions.shard import Shard
from keymiss.functions.take_loop import TakeLoop
from keymiss.functions.write_consumer import WriteConsumer
from keymiss.server.topology import Slots

logger = logging.getLogger(__name__)

REACH_SECONDS = 0.5
"""The pause between two tries to reach a server that has not been reached yet."""

LOOK_SECONDS = 0.5
"""How often a node is asked which slots it holds."""

LOSING_SECONDS = 0.1
"""How often to check, while gone slots are still spoken for, whether they are covered elsewhere."""

Walk = Callable[[Slots], Awaitable[None]]
"""Tells the functions of all keys in some slots, also of keys that are gone."""

CoveredElsewhere = Callable[[Shard], Slots]
"""Gives the slots that this worker covers on other servers, which hold them."""


async def serve_shard(
    functions: Sequence[Function],
    batches: Mapping[str, Batches],
    shard: Shard,
    stop: asyncio.Event,
    ready: asyncio.Event,
    covered_elsewhere: CoveredElsewhere,
    clustered: bool,
) -> None:
    """Serves the functions on a shard until `stop` is set, then finishes what it has begun.

    Functions that follow writes are attached and walk their keys first. `ready` is set when all
    functions are attached.

    Raises what `TakeLoop.serve` and `Shard.identify` raise.
    """
    writes = [
        WriteConsumer(each, batches[each.name], shard)
        for each in functions
        if isinstance(each, WriteFunction)
    ]
    misses = [
        MissConsumer(each, batches[each.name], shard)
        for each in functions
        if isinstance(each, MissFunction)
    ]

    async def walk(slots: Slots) -> None:
        for each in writes:
            await each.walk(slots)

    tasks: list[asyncio.Task[None]] = []
    following: asyncio.Task[None] | None = None
    try:
        if clustered:
            await _repeat(shard.identify, stop)
        await _repeat(shard.look_at_slots, stop)
        shard.coverage.begin_first_walk()
        await _start([TakeLoop(each, stop) for each in writes], tasks)
        await _repeat(shard.look_at_slots, stop)
        shard.coverage.end_walk()
        following = asyncio.create_task(follow_slots(shard, walk, covered_elsewhere))
        await _start([TakeLoop(each, stop) for each in misses], tasks)
        ready.set()
        await asyncio.gather(*tasks)
    finally:
        running = [*tasks, following] if following else tasks
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def follow_slots(shard: Shard, walk: Walk, covered_elsewhere: CoveredElsewhere) -> None:
    """Keeps a shard's coverage in step with the slots that its server holds, until cancelled."""
    now = asyncio.get_running_loop().time
    coverage = shard.coverage
    next_look = 0.0
    while True:
        try:
            # Not in every turn: a reply holds the ranges of the whole cluster, which takes time.
            if now() >= next_look:
                await shard.look_at_slots()
                next_look = now() + LOOK_SECONDS
            coverage.let_go(now(), covered_elsewhere(shard))
            if unwalked := coverage.begin_walk():
                await walk(unwalked)
                await shard.look_at_slots()
                coverage.end_walk()
            coverage.settle()
        except (TimeoutError, ValkeyError, OSError) as error:
            logger.debug("%s: %s; its slots are looked at again", shard.id, error)
        await asyncio.sleep(LOSING_SECONDS if coverage.is_losing else LOOK_SECONDS)


async def _start(loops: Sequence[TakeLoop], tasks: list[asyncio.Task[None]]) -> None:
    """Returns when all loops are attached; when one has ended, raises its error."""
    tasks += [asyncio.create_task(each.serve(), name=each.function.name) for each in loops]

    async def all_ready() -> None:
        for each in loops:
            await each.ready.wait()

    waiting = asyncio.create_task(all_ready())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in tasks:
        if task.done():
            task.result()


async def _repeat(call: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Repeats a call until the server can be reached."""
    while not stop.is_set():
        try:
            await call()
            return
        except (TimeoutError, ValkeyError, OSError):
            await asyncio.sleep(REACH_SECONDS)
