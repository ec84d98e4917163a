"""How much the readers of all workers have done: counted in the server, told by a function.

RedisAI's `AI.INFO` tells the same of a model: duration in microseconds, samples, calls, errors.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

from valkey.exceptions import ValkeyError

from keymiss.errors import BadInput, NotFound
from keymiss.function_names import FunctionName
from keymiss.functions import Event, Function, on_miss
from keymiss.functions.function import Result
from keymiss.keys import MODELINFO, MODELINFO_FORM, decode, parse_modelinfo_key, statistics_key
from keymiss.reader import Reader
from keymiss.server.servers import Servers
from keymiss.values.json_value import to_json_value

logger = logging.getLogger(__name__)

MODELINFO_FORMAT = 1
FLUSH_SECONDS = 1.0
COUNT_PATIENCE_SECONDS = 2.0
"""How long a server that is away holds up the counting, or the end of the worker, at most."""

COUNTS = ("calls", "samples", "duration_us", "errors")

TOGETHER = "together"
"""The name under which all shards are counted together. The sum over shards is another number: a
call for several shards counts once for each of them, and once here."""


class ModelStatistics:
    """What a reader has done for each shard, as far as the server has not counted it yet."""

    def __init__(self, reader: Reader) -> None:
        self.name = reader.name
        self._uncounted: Counter[str] = Counter()

    def add(self, samples: Mapping[str, int], seconds: float, failed: bool = False) -> None:
        """Counts a call and its samples by shard; its duration is divided among the shards."""
        total = sum(samples.values())
        if not total:
            return
        for shard, count in (*samples.items(), (TOGETHER, total)):
            self._uncounted[f"{shard} calls"] += 1
            self._uncounted[f"{shard} samples"] += count
            self._uncounted[f"{shard} duration_us"] += round(1e6 * seconds * count / total)
            self._uncounted[f"{shard} errors"] += failed

    async def keep(self, url: str, stop: asyncio.Event, shards: str = "local") -> None:
        """Adds the counts to those in the server, every second, until `stop` is set. When the
        server cannot be reached, they are kept for the next time."""
        async with Servers(url) as servers:
            while not stop.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_SECONDS):
                        await stop.wait()
                try:
                    async with asyncio.timeout(COUNT_PATIENCE_SECONDS):
                        await self._flush(servers)
                except (TimeoutError, ValkeyError, OSError) as error:
                    logger.warning("statistics of %s: %s", self.name, error)

    async def _flush(self, servers: Servers) -> None:
        for field, count in list(self._uncounted.items()):
            if count:
                await servers.execute("HINCRBY", statistics_key(self.name), field, count)
                self._uncounted[field] -= count


def statistics_function() -> Function:
    """The function `modelinfo`: `GET keymiss:modelinfo{NAME}` tells what all readers with this name
    have done."""

    @on_miss(MODELINFO, name=FunctionName.MODELINFO, form=MODELINFO_FORM, cache="off")
    async def modelinfo(events: Sequence[Event]) -> list[Result]:
        results: list[Result] = []
        for event in events:
            try:
                name = parse_modelinfo_key(event.key)
            except BadInput as error:
                results.append(error)
                continue
            (fields,) = await event.shard.read([("HGETALL", statistics_key(name))])
            results.append(_info(name, fields))
        return results

    return modelinfo


def _info(name: str, fields: object) -> Result:
    if isinstance(fields, Exception):
        return fields
    if not isinstance(fields, list) or not fields:
        return NotFound(f"no reader with the name {name[:100]!r} has read anything")
    shards: dict[str, dict[str, int]] = {}
    for field, count in zip(map(decode, fields[::2]), map(int, fields[1::2]), strict=True):
        shard, _, what = field.rpartition(" ")
        shards.setdefault(shard, dict.fromkeys(COUNTS, 0))[what] = count
    together = shards.pop(TOGETHER, dict.fromkeys(COUNTS, 0))
    told = {"name": name, **together, "shards": shards}
    return to_json_value(MODELINFO_FORMAT, told, ascii=True)
