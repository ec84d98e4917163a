"""Serves the graph's functions with the vocabulary that the server holds."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from valkey.exceptions import ValkeyError

from keymiss.errors import SetupError, Superseded, Unavailable
from keymiss.functions import serve
from keymiss.graph.graph_functions import graph_functions
from keymiss.graph.vocabulary import Vocabulary
from keymiss.graph.vocabulary_store import stored_vocabulary
from keymiss.keys import FINGERPRINT, VOCABULARY
from keymiss.server.client import connect
from keymiss.server.servers import Servers

logger = logging.getLogger(__name__)

VOCABULARY_WATCH_SECONDS = 2.0
"""How often the server is asked which vocabulary it holds."""


async def serve_graph(url: str, stop: asyncio.Event, shards: str = "local") -> None:
    """Serves the graph's functions until `stop` is set; nothing while there is no vocabulary.

    When another vocabulary is loaded, the functions are served with that one, and all sentences are
    matched again.

    Args:
        url, shards: as for `keymiss.functions.serve`.
    """
    async with Servers(url) as servers:
        while not stop.is_set():
            vocabulary = await _vocabulary(url)
            ending = asyncio.Event()
            tasks = [
                asyncio.create_task(_until_another(servers, vocabulary, ending)),
                asyncio.create_task(_end_with(stop, ending)),
            ]
            try:
                if vocabulary:
                    await _serve(vocabulary, url, ending, shards)
                await ending.wait()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(vocabulary: Vocabulary, url: str, ending: asyncio.Event, shards: str) -> None:
    logger.info(
        "the vocabulary %s has %d concepts", vocabulary.fingerprint, len(vocabulary.concepts)
    )
    served = await asyncio.to_thread(graph_functions, vocabulary)
    try:
        await serve(served, url, ending, shards=shards)
    except Superseded:
        pass  # another worker has seen the next vocabulary sooner
    except SetupError as error:
        # The server's module may be older, for example. Questions are answered even so.
        logger.error("there will be no concept graph: %s", error)


async def _vocabulary(url: str) -> Vocabulary | None:
    def read() -> Vocabulary | None:
        with connect(url) as client:
            return stored_vocabulary(client)

    try:
        return await asyncio.to_thread(read)
    except (SetupError, Unavailable, ValkeyError, OSError) as error:
        logger.warning("no vocabulary: %s", error)
        return None


async def _until_another(
    servers: Servers, vocabulary: Vocabulary | None, ending: asyncio.Event
) -> None:
    """Sets `ending` when the server holds a vocabulary other than this one."""
    mine = vocabulary.fingerprint.encode() if vocabulary else None
    while True:
        await asyncio.sleep(VOCABULARY_WATCH_SECONDS)
        with suppress(TimeoutError, ValkeyError, OSError):
            if await servers.execute("HGET", VOCABULARY, FINGERPRINT) != mine:
                ending.set()


async def _end_with(stop: asyncio.Event, ending: asyncio.Event) -> None:
    await stop.wait()
    ending.set()
