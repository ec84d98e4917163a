"""Calls a handler with events, and gives each event its own result or its own error."""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Awaitable, Sequence

from valkey.exceptions import ValkeyError

from keymiss.functions.function import Event, Function, Result

logger = logging.getLogger(__name__)

FRAMES = 8
MOST_LOGGED = 200
"""How many characters of a key or an error are logged, at most."""


async def compute(function: Function, events: Sequence[Event]) -> list[Result]:
    """One result for each event; an exception of the handler becomes the result of its event."""
    try:
        return await _results(function, events)
    except Exception as error:
        if len(events) > 1:
            said = repr(error)[:MOST_LOGGED]
            logger.warning("%s raised %s; its batch is tried one by one", function.name, said)
            return await _one_by_one(function, events)
        _log_first(function, [(events[0], error)])
        return [error]


async def _one_by_one(function: Function, events: Sequence[Event]) -> list[Result]:
    results: list[Result] = []
    failures: list[tuple[Event, Exception]] = []
    for event in events:
        try:
            results += await _results(function, [event])
        except Exception as error:
            results.append(error)
            failures.append((event, error))
    if failures:
        _log_first(function, failures)
    return results


def _log_first(function: Function, failures: Sequence[tuple[Event, Exception]]) -> None:
    """Logs one failure for a batch: when a server is away, all keys of a walk fail alike."""
    event, error = failures[0]
    others = f" and {len(failures) - 1} others" if len(failures) > 1 else ""
    key = event.key[:MOST_LOGGED]
    logger.error("%s failed on %r%s: %s", function.name, key, others, _shown(error))


def _shown(error: Exception) -> str:
    """Where the error was raised, and the beginning of its message: keys of clients may be long."""
    if isinstance(error, ValkeyError):  # the server's message says enough
        return str(error)[:MOST_LOGGED]
    return "".join(traceback.format_tb(error.__traceback__)[-FRAMES:]) + repr(error)[:MOST_LOGGED]


async def _results(function: Function, events: Sequence[Event]) -> list[Result]:
    return function.results(await _called(function, events), len(events))


async def _called(function: Function, events: Sequence[Event]) -> object:
    if inspect.iscoroutinefunction(function.handler):
        awaited: Awaitable[object] = function.handler(events)
        return await awaited
    return await asyncio.to_thread(function.handler, events)
