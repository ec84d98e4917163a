"""All functions on one shard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from valkey.exceptions import ValkeyError

from keymiss.functions.batches import Batches
from keymiss.functions.coverage import follow_slots
from keymiss.functions.function import Function
from keymiss.functions.shard import Shard
from keymiss.functions.take_loop import LONGEST_RETRY_SECONDS, Attachment
from keymiss.server.topology import Slots


async def serve_shard(
    functions: Sequence[Function],
    batches: Mapping[str, Batches],
    shard: Shard,
    stop: asyncio.Event,
    ready: asyncio.Event,
    covered_by_others: Callable[[Shard], Slots],
    clustered: bool,
) -> None:
    """Serves the functions on a shard until `stop` is set, then finishes what is in hand.

    Those that follow writes are attached and walk their keys first. `ready` is set when all are
    attached.

    Raises what `Attachment.serve` and `Shard.identify` raise.
    """
    attachments = [
        Attachment(function, batches[function.name], shard, stop) for function in functions
    ]
    writes = [each for each in attachments if each.function.kind == "WRITE"]
    misses = [each for each in attachments if each.function.kind == "MISS"]

    async def walk(slots: Slots) -> None:
        for each in writes:
            await each.walk(slots)

    tasks: list[asyncio.Task[None]] = []
    following: asyncio.Task[None] | None = None
    try:
        if clustered:
            await _repeat(shard.identify, stop)
        await _repeat(shard.look_at_slots, stop)
        owned = shard.owned
        await _start(writes, tasks)
        # The walks have not seen all keys of a slot that has left meanwhile.
        await _repeat(shard.look_at_slots, stop)
        shard.slots = owned & shard.owned
        following = asyncio.create_task(follow_slots(shard, walk, covered_by_others))
        await _start(misses, tasks)
        ready.set()
        await asyncio.gather(*tasks)
    finally:
        running = [*tasks, following] if following else tasks
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _start(attachments: Sequence[Attachment], tasks: list[asyncio.Task[None]]) -> None:
    """Returns when all are attached, or one has ended, whose error it raises."""
    tasks += [asyncio.create_task(each.serve(), name=each.function.name) for each in attachments]

    async def all_ready() -> None:
        for each in attachments:
            await each.ready.wait()

    waiting = asyncio.create_task(all_ready())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in tasks:
        if task.done():
            task.result()


async def _repeat(call: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Calls until the server can be reached."""
    while not stop.is_set():
        try:
            await call()
            return
        except (TimeoutError, ValkeyError, OSError):
            await asyncio.sleep(LONGEST_RETRY_SECONDS / 4)
