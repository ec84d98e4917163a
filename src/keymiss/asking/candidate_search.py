"""The candidates for a question, from every shard, and whether any part of the corpus is missing.

One shard of each host is asked first: its worker searches all shards of the host that it serves.
Workers say which slots they have searched. The shards that hold the remaining slots are asked
directly, and again if needed: a slot may move while the question is on its way.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from valkey.exceptions import ResponseError, ValkeyError

from keymiss.asking.computed_get import compute
from keymiss.corpus.corpus_key import OLD_FACTS, is_old_corpus, no_corpus
from keymiss.errors import TooSlow, Unavailable
from keymiss.keys import CORPUS, find_here_key, find_key, slot_tag
from keymiss.search.ranking import Ranked, rank
from keymiss.server.servers import Servers
from keymiss.server.topology import ALL_SLOTS, Primary, Slots, first_slot, has_slot_of, joined
from keymiss.values.find_value import (
    Candidates,
    ShardCandidates,
    host_candidates_from_json,
    shard_candidates_from_json,
)

HOST_SECONDS = 1.0
"""How long a search waits for the shard that is asked for its whole host."""

SEARCH_SECONDS = 3.0
"""How long the shards of a cluster have to answer. A search goes on without those that do not."""

PAUSE_SECONDS = 0.05
"""How long to wait before slots that no worker has searched are asked for again."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Sentences that may answer a question, best first.

    `complete` is false when part of the corpus was not searched. `settled` is false while documents
    move between shards: some are counted twice then, and the order is a little off. `passage_ms` is
    how long the slowest reader beside the shards takes for a passage, in milliseconds; 0 when it is
    not known.
    """

    ranked: list[Ranked]
    complete: bool
    settled: bool = True
    passage_ms: float = 0.0


async def find(servers: Servers, question: str) -> Retrieved:
    """The candidates for a normalised question, from all shards that can be reached in time.

    Raises:
        Unavailable: no worker searches, or there is no corpus.
        ValkeyError, OSError: the single server cannot be reached.
    """
    deadline = time.monotonic() + SEARCH_SECONDS
    replies = await _of_hosts(servers, question)
    covered = joined(reply.slots for reply in replies)
    failed: Exception = Unavailable("no worker searches this server; start `keymiss worker`")
    asked_at = 0.0
    while covered != ALL_SLOTS and (not asked_at or time.monotonic() < deadline):
        if asked_at:
            await asyncio.sleep(PAUSE_SECONDS)
        topology = await servers.topology(asked_at)
        asked_at = time.monotonic()
        asked = [each for each in topology.primaries if each.slots & ~covered]
        patience = deadline - asked_at if topology.clustered else None
        searches = (_search(servers, each, covered, question, patience) for each in asked)
        for found in await asyncio.gather(*searches, return_exceptions=True):
            if isinstance(found, ShardCandidates):
                replies.append(found)
                covered |= found.slots
            elif isinstance(found, Exception):
                failed = found
        if not topology.clustered and covered != ALL_SLOTS:
            raise failed
    if not replies:
        raise failed
    if not any(reply.candidates.sentences for reply in replies):
        await _check_corpus(servers)
    parts = each_slot_once(replies)
    ranked = rank([_within(reply, part) for reply, part in parts])
    settled = all(reply.settled and part == reply.slots for reply, part in parts)
    passage_ms = max((reply.passage_ms for reply, _ in parts), default=0.0)
    return Retrieved(ranked, covered == ALL_SLOTS, settled, passage_ms)


async def _of_hosts(servers: Servers, question: str) -> list[ShardCandidates]:
    """What one shard of each host finds for the host; nothing when each host has only one shard."""
    primaries = (await servers.topology()).primaries
    hosts: dict[str, list[Primary]] = {}
    for primary in primaries:
        hosts.setdefault(primary.host, []).append(primary)
    if len(hosts) == len(primaries):
        return []
    asked = map(random.choice, hosts.values())
    found = await asyncio.gather(*(_search_host(servers, each, question) for each in asked))
    return [reply for replies in found for reply in replies]


async def _search_host(servers: Servers, primary: Primary, question: str) -> list[ShardCandidates]:
    """What the worker beside a shard finds in it and in the other shards of the host. Nothing when
    the worker does not answer soon: each shard is asked directly then."""
    key = find_here_key(slot_tag(first_slot(primary.slots)), question)
    try:
        async with asyncio.timeout(HOST_SECONDS):
            value = await servers.execute_at(primary, "GET", key)
            return host_candidates_from_json(value) if value is not None else []
    except (TimeoutError, ValkeyError, OSError, ValueError):
        return []


async def _search(
    servers: Servers, primary: Primary, covered: Slots, question: str, patience: float | None
) -> ShardCandidates:
    # Any tag of the shard would do: it only routes the key.
    tag = slot_tag(first_slot(primary.slots & ~covered))
    try:
        async with asyncio.timeout(patience):
            value = await compute(servers, find_key(tag, question))
    except TimeoutError:
        raise TooSlow(f"{primary.name} did not answer in time") from None
    if value is None:
        raise Unavailable("no worker searches this server; start `keymiss worker`")
    return shard_candidates_from_json(value)


async def _check_corpus(servers: Servers) -> None:
    if await servers.execute("EXISTS", CORPUS):
        return
    is_old = False
    with suppress(ResponseError):
        is_old = is_old_corpus(await servers.execute(*OLD_FACTS))
    raise no_corpus(is_old)


def each_slot_once(replies: Sequence[ShardCandidates]) -> list[tuple[ShardCandidates, Slots]]:
    """The replies with the slots that each speaks for, without replies that speak for no slot.

    Two shards may have searched a slot that has just moved: the one that holds the slot counts. Of
    a shard that was asked several times, the last reply counts.
    """
    parts = [0] * len(replies)
    taken: Slots = 0
    for held_only in (True, False):
        for number, reply in reversed(list(enumerate(replies))):
            part = reply.slots & ~taken & (reply.owned if held_only else ALL_SLOTS)
            parts[number] |= part
            taken |= part
    return [(reply, part) for reply, part in zip(replies, parts, strict=True) if part]


def _within(reply: ShardCandidates, slots: Slots) -> Candidates:
    """The candidates in these slots only."""
    found = reply.candidates
    if reply.settled and slots == reply.slots:
        return found
    kept = tuple(each for each in found.candidates if has_slot_of(slots, each.sentence))
    return replace(found, candidates=kept)
