"""Makes and keeps vectors beside the functions that answer questions, which do not wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from valkey.exceptions import NoPermissionError, ValkeyError

from keymiss.answering.vector_memory import VectorsChoice, VectorsMode, choose_vectors
from keymiss.answering.vectors_function import keeping_function, making_function
from keymiss.errors import SetupError, Superseded
from keymiss.functions import serve
from keymiss.keys import VECTORS_NOTE, decode
from keymiss.reader import Encoder
from keymiss.search.vector_index import VectorIndexes
from keymiss.server.servers import Servers
from keymiss.server.topology import is_local

logger = logging.getLogger(__name__)

CHOOSE_AGAIN_SECONDS = 1.0
"""The pause before servers that could not be reached are asked again."""


class VectorService:
    """An encoder, the vectors of the worker's shards, and what makes and keeps them."""

    def __init__(self, encoder: Encoder, mode: VectorsMode) -> None:
        self._encoder = encoder
        self._mode = mode
        self.vectors = VectorIndexes(encoder.encode_at_once, encoder.width)

    async def run(self, url: str, stop: asyncio.Event, shards: str = "local") -> None:
        """Makes and keeps vectors until `stop` is set, if there is memory for them.

        Args:
            url, shards: as for `keymiss.functions.serve`.
        """
        choice = await self._chosen(url, stop, shards)
        logger.info("vectors are %s", choice)
        if not choice.on:
            return
        keeping = serve([keeping_function(self._encoder, self.vectors)], url, stop, shards=shards)
        making = serve([making_function(self._encoder, self.vectors)], url, stop, shards=shards)
        await asyncio.gather(_until_it_ends(keeping), _until_it_ends(making))

    async def _chosen(self, url: str, stop: asyncio.Event, shards: str) -> VectorsChoice:
        """The choice, which is noted in the server, where `keymiss doctor` finds it."""
        async with Servers(url) as servers:
            while not stop.is_set():
                try:
                    choice = choose_vectors(self._mode, await _memory(servers, shards))
                    await servers.execute("SET", VECTORS_NOTE, f"{self._encoder.name} {choice}")
                    return choice
                except NoPermissionError as error:
                    why = f"{error}; docs/operations.md lists the users' rights"
                    return VectorsChoice(False, why)
                except (TimeoutError, ValkeyError, OSError):
                    pass  # the server is not there yet
                await asyncio.sleep(CHOOSE_AGAIN_SECONDS)
        return VectorsChoice(False, "the worker ends")


async def _memory(servers: Servers, shards: str) -> list[dict[str, str]]:
    """`INFO memory` of the servers that the worker serves."""
    topology = await servers.topology()
    found = []
    for primary in topology.primaries:
        only_local = topology.clustered and shards == "local"
        if only_local and not await asyncio.to_thread(is_local, primary.host):
            continue
        info = await servers.execute_at(primary, "INFO", "memory")
        lines = [line.partition(":") for line in decode(info).splitlines() if ":" in line]
        found.append({name: value for name, _, value in lines})
    return found


async def _until_it_ends(serving: Coroutine[Any, Any, None]) -> None:
    try:
        await serving
    except Superseded as error:
        logger.info("other workers make the vectors: %s", error)
    except SetupError as error:
        # The server's module may be older, for example. Questions are answered even so.
        logger.error("there will be no vectors: %s", error)
