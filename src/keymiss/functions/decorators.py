"""`on_miss` and `on_write`, which turn handlers into functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from keymiss.errors import SetupError
from keymiss.functions.function import AsyncHandler, Handler, MissFunction, WriteFunction
from keymiss.functions.shard import Shard

MOST_IN_BATCH = 1024
"""How many items the server hands out at once, at most (docs/commands.md, KEYMISS.TAKE)."""

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]+)(ms|s|m|h|d)")


def on_miss(
    prefix: str,
    *,
    name: str | None = None,
    cache: str = "1h",
    timeout: str = "10s",
    lease: str = "5s",
    pending: int = 10_000,
    batch: int = 256,
    version: str = "",
    form: str = "",
    stores: Callable[[str], bool] | None = None,
) -> Callable[[Any], MissFunction]:
    """Makes a handler compute the missing keys under a prefix.

    The handler gets a batch of events and returns one result for each, in their order: text or
    bytes, None for nil, or an exception, whose message the clients of that key get. When the
    handler raises an exception instead, the events of the batch are tried one by one. A coroutine
    function runs in the event loop, a plain function in a thread.

    Args:
        prefix: at least 3 bytes; it must not overlap another function's prefix.
        name: the function's name in the server; the handler's name by default.
        cache: how long a computed value lives; also "off" or "forever".
        timeout: how long a client waits, at most.
        lease: how long the handler may take before the batch is given to another worker.
        pending: how many keys may wait; clients of further keys get an error at once.
        batch: how many events one call has at most, 1 to 1024. After a call that has taken longer
            than a fifth of `timeout` there are fewer, so that clients are answered in time.
        version: names the code; values of another version are dropped when a worker starts.
        form: the exact form of the keys, like "greeting:<name>" (docs/commands.md, FORM). A missing
            key under the prefix that has another form is nil, and the handler does not see it.
        stores: says whether the value that is stored under a key may be one of the function,
            where the form alone cannot say it. Other values are kept when values of another
            version are dropped.

    Raises:
        SetupError: a duration cannot be read, or `batch` is out of range.

    >>> @on_miss("greeting:", cache="1h", timeout="2s")
    ... async def greeting(misses):
    ...     return [f"hello {miss.key[9:]}" for miss in misses]
    >>> greeting.name, greeting.prefix
    ('greeting', 'greeting:')
    """
    _check_batch(batch)
    kept = cache if cache in ("off", "forever") else str(milliseconds(cache))
    waits = ("TIMEOUT", str(milliseconds(timeout)), "LEASE", str(milliseconds(lease)))
    formed = ("FORM", form) if form else ()

    def decorate(handler: Handler | AsyncHandler) -> MissFunction:
        return MissFunction(
            name=name or handler.__name__,
            prefix=prefix,
            handler=handler,
            options=("CACHE", kept, *waits, "PENDING", str(pending), *formed),
            batch=batch,
            version=version,
            timeout=milliseconds(timeout),
            stores=stores,
        )

    return decorate


def on_write(
    prefix: str,
    *,
    name: str | None = None,
    each: bool = False,
    lease: str = "1m",
    pending: int = 100_000,
    batch: int = 256,
    known: Callable[[Shard], Iterable[str]] | None = None,
    derived: str = "",
    version: str = "",
) -> Callable[[Any], WriteFunction]:
    """Makes a handler follow the keys under a prefix that are written or deleted. Several functions
    may follow the same keys.

    The handler is told which keys, but not what happened to them: it must look. It may be told of a
    key twice, and of a key that has not changed. When a worker attaches, or the server has lost
    events, the handler is told of every key under the prefix. When the handler raises an exception
    for a key, the key is logged and left until it is written or walked again. But when memory is
    short, or something cannot be reached, the handler is told of the key again after some seconds.

    Args:
        each: whether every worker is told of every key, as a worker that keeps an index needs;
            otherwise every key goes to one worker.
        known: gives the keys of a shard that the handler remembers. When the keys are walked, the
            handler is also told of those that are gone.
        derived: a prefix of keys that the handler writes. When the keys are walked, the handler is
            told of them, too, so that it finds those whose source is gone.
        name, lease, pending, batch: as for `on_miss`.
        version: names the code; when workers of two versions are there, only those of the last
            version are told.

    Raises:
        SetupError: a duration cannot be read, or `batch` is out of range.

    >>> @on_write("reading:")
    ... async def mean(writes):
    ...     for write in writes:
    ...         print(f"{write.key} was written")
    >>> mean.serve_arguments()[:5]
    ['mean', 'ON', 'WRITE', 'PREFIX', 'reading:']
    """
    _check_batch(batch)

    def decorate(handler: Handler | AsyncHandler) -> WriteFunction:
        return WriteFunction(
            name=name or handler.__name__,
            prefix=prefix,
            handler=handler,
            options=("LEASE", str(milliseconds(lease)), "PENDING", str(pending)),
            batch=batch,
            version=version,
            each=each,
            known=known,
            derived=derived,
        )

    return decorate


def milliseconds(duration: str) -> int:
    """The length of "250ms", "2s", "5m", "1h" or "1d".

    Raises:
        SetupError: the duration is written in another way.
    """
    match = _DURATION.fullmatch(duration)
    if not match:
        raise SetupError(f"{duration!r} is not a duration; write 250ms, 2s, 5m, 1h or 1d")
    return int(match[1]) * _UNITS[match[2]]


def _check_batch(batch: int) -> None:
    if not 1 <= batch <= MOST_IN_BATCH:
        raise SetupError(f"a batch of {batch} is impossible; write 1 to {MOST_IN_BATCH}")
