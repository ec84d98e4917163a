"""Follows the slots of a shard: which of its keys the functions on written keys know of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from valkey.exceptions import ValkeyError

from keymiss.functions.shard import Shard
from keymiss.server.topology import Slots

logger = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
"""How long a slot that has gone to another server is spoken for: until that one's workers have seen
its keys, nobody else can. When it is this worker that has, the slot is let go at once."""

WATCH_SECONDS = 0.5
"""How often a node is asked which slots it holds."""

LOSING_SECONDS = 0.1
"""Between two looks for who else covers slots that have gone and are spoken for."""


async def follow_slots(
    shard: Shard,
    walk: Callable[[Slots], Awaitable[None]],
    covered_by_others: Callable[[Shard], Slots],
) -> None:
    """Keeps `shard.slots` in step with the slots that its server holds, until it is cancelled.

    Args:
        walk: tells the functions of all keys in some slots, those that are gone included.
        covered_by_others: the slots that this worker covers on the servers that hold them.
    """
    now = asyncio.get_running_loop().time
    losing: list[tuple[float, Slots]] = []
    unwalked: Slots = 0
    next_look = 0.0
    while True:
        try:
            # Not as often as for others: a reply takes time with the ranges of the whole cluster.
            if now() >= next_look:
                await shard.look_at_slots()
                next_look = now() + WATCH_SECONDS
            lost = shard.slots & ~shard.owned
            for _, slots in losing:
                lost &= ~slots
            if lost:
                losing.append((now() + GRACE_SECONDS, lost))
            released = shard.slots & ~shard.owned & covered_by_others(shard)
            while losing and losing[0][0] <= now():
                released |= losing.pop(0)[1] & ~shard.owned & shard.slots
            losing = [(end, slots & shard.slots & ~released) for end, slots in losing]
            losing = [(end, slots) for end, slots in losing if slots]
            shard.slots &= ~released
            unwalked |= released | shard.arrived | shard.owned & ~shard.slots
            shard.arrived = 0
            if unwalked:
                gained = unwalked & shard.owned
                await walk(unwalked)
                # The walk has not seen all keys of a slot that has left meanwhile.
                await shard.look_at_slots()
                shard.slots |= gained & shard.owned & ~shard.arrived
                unwalked = 0
            shard.is_settled = shard.slots == shard.owned
        except (TimeoutError, ValkeyError, OSError) as error:
            logger.debug("%s: %s; its slots are looked at again", shard.id, error)
        await asyncio.sleep(LOSING_SECONDS if losing else WATCH_SECONDS)
