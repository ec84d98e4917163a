"""The functions layer in a thread of the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from keymiss import functions
from keymiss.functions import Function
from keymiss.server.embedded import EmbeddedServer


@contextmanager
def served(url: str, served: list[Function]) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    stop, ready = asyncio.Event(), threading.Event()
    serving = functions.serve(served, url, stop, ready.set)
    thread = threading.Thread(target=loop.run_until_complete, args=(serving,))
    thread.start()
    assert ready.wait(10)
    yield
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def serve(server: EmbeddedServer) -> Iterator[Callable[..., None]]:
    """Serves functions until the test ends."""
    with ExitStack() as stack:
        yield lambda *each: stack.enter_context(served(server.url, list(each)))
