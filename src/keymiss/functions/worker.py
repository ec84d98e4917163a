"""Serves functions on all shards of a worker, and follows the cluster as it changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from valkey.exceptions import ValkeyError

from keymiss.errors import SetupError
from keymiss.functions.function import Function
from keymiss.functions.handler_batches import Batches
from keymiss.functions.shard import Shard
from keymiss.functions.shard_service import serve_shard
from keymiss.server.servers import Servers
from keymiss.server.topology import (
    Primary,
    Slots,
    Topology,
    is_local,
    joined,
    node_url,
    server_name,
)

logger = logging.getLogger(__name__)

CLUSTER_WATCH_SECONDS = 0.5
"""How often the cluster is asked for its primaries, and how often a lost server is tried."""

FIRST_WATCH_SECONDS = 0.1
"""The same interval until all functions are attached."""


async def serve(
    functions: Sequence[Function],
    url: str,
    stop: asyncio.Event,
    on_ready: Callable[[], None] = lambda: None,
    shards: str = "local",
) -> None:
    """Serves the functions until `stop` is set, then finishes what it has begun.

    In a cluster each chosen primary is served, also nodes that become primaries later. Functions
    that follow writes attach and walk their keys first, so that the others find what they need when
    the first miss arrives. `on_ready` is called when all functions are attached.

    Args:
        url: a server, or any node of a cluster.
        shards: which primaries of a cluster are served: those on this host ("local"), "all", or
            the primaries among the nodes `host:port,...`.

    Raises:
        SetupError: a function cannot be served, and further tries would not help.
        Superseded: another version of a function has taken over.
    """
    async with Servers(url) as servers:
        worker = _Worker(functions, url, shards)
        try:
            await worker.run(servers, stop, on_ready)
        finally:
            await worker.end()


@dataclass(frozen=True, slots=True)
class _Served:
    """A shard that a task serves until `stop` is set."""

    shard: Shard
    stop: asyncio.Event
    ready: asyncio.Event
    task: asyncio.Task[None]


class _Worker:
    def __init__(self, functions: Sequence[Function], url: str, chosen: str) -> None:
        self._functions = functions
        self._url = url
        self._chosen = chosen
        self._batches = {function.name: Batches(function) for function in functions}
        self._served: dict[str, _Served] = {}
        self._left: list[_Served] = []
        """Shards whose service has been stopped, and that finish what they have begun."""
        self._refused: set[str] = set()
        self._is_ready = False
        self._clustered = False

    async def run(
        self, servers: Servers, stop: asyncio.Event, on_ready: Callable[[], None]
    ) -> None:
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._follow_cluster(servers)
                if not self._is_ready and self._all_ready() and not stop.is_set():
                    self._is_ready = True
                    on_ready()
                pause: float | None = FIRST_WATCH_SECONDS
                if self._is_ready:
                    pause = CLUSTER_WATCH_SECONDS if self._clustered else None
                tasks = [each.task for each in self._served.values() if not each.task.done()]
                await asyncio.wait([stopping, *tasks], timeout=pause, return_when="FIRST_COMPLETED")
                await self._look_at_ended()
        finally:
            stopping.cancel()
        everything = [*self._served.values(), *self._left]
        for served in everything:
            served.stop.set()
        await asyncio.gather(*(served.task for served in everything))

    async def _follow_cluster(self, servers: Servers) -> None:
        try:
            topology = await servers.topology(time.monotonic())
            self._clustered = topology.clustered
            await self._follow(topology)
        except (TimeoutError, ValkeyError, OSError) as error:
            logger.warning("%s: %s; trying again", self._url, error)

    async def end(self) -> None:
        """Stops everything that still runs."""
        for served in (*self._served.values(), *self._left):
            served.task.cancel()
            await asyncio.gather(served.task, return_exceptions=True)
            await served.shard.aclose()

    def _all_ready(self) -> bool:
        served = self._served.values()
        return bool(served) and all(each.ready.is_set() for each in served)

    async def _follow(self, topology: Topology) -> None:
        wanted = {
            each.name: each
            for each in topology.primaries
            if not topology.clustered or await self._is_chosen(each)
        }
        if not wanted and not self._served:
            known = ", ".join(each.name for each in topology.primaries)
            raise SetupError(
                f"--shards {self._chosen} matches no primary; there are {known or 'none'}"
            )
        for name in self._served.keys() - wanted.keys():
            logger.info("%s is not served any more", name)
            self._refused.discard(name)
            self._left.append(self._served.pop(name))
            self._left[-1].stop.set()
        for name, primary in wanted.items():
            if name not in self._served:
                logger.info("%s is served", name)
                self._served[name] = self._start(primary, topology.clustered)

    async def _is_chosen(self, primary: Primary) -> bool:
        if self._chosen == "local":
            return await asyncio.to_thread(is_local, primary.host)
        return self._chosen == "all" or primary.name in self._chosen.split(",")

    def _start(self, primary: Primary, clustered: bool) -> _Served:
        url = node_url(self._url, primary.host, primary.port) if clustered else self._url
        shard = Shard(url, server_name(url))
        stop, ready = asyncio.Event(), asyncio.Event()
        serving = serve_shard(
            self._functions, self._batches, shard, stop, ready, self._covered_elsewhere, clustered
        )
        return _Served(shard, stop, ready, asyncio.create_task(serving, name=primary.name))

    def _covered_elsewhere(self, shard: Shard) -> Slots:
        others = (each.shard for each in self._served.values() if each.shard is not shard)
        states = (other.coverage.state for other in others)
        return joined(state.spoken & state.held for state in states)

    async def _look_at_ended(self) -> None:
        """Raises the error that has ended the service of a shard. A node that is set up wrongly
        does not stop others that are served already."""
        for name, served in self._served.items():
            error = served.task.exception() if served.task.done() else None
            if error is None or name in self._refused:
                continue
            others = any(not each.task.done() for each in self._served.values())
            if not (isinstance(error, SetupError) and self._is_ready and others):
                raise error
            logger.error("%s is not served: %s", name, error)
            self._refused.add(name)
        for served in [each for each in self._left if each.task.done()]:
            await served.shard.aclose()
            self._left.remove(served)
