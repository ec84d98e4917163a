"""What a function is: a handler, the prefix of its keys, and options for the server."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from keymiss.errors import SetupError
from keymiss.functions.shard import Shard

Value = str | bytes | None
Result = Value | Exception

MOST_IN_BATCH = 1024
"""Items that the server hands out at once, at most (docs/commands.md, KEYMISS.TAKE)."""

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]+)(ms|s|m|h|d)")


@dataclass(frozen=True, slots=True)
class Event:
    """A key that was asked for and is missing, or one that was written or deleted.

    Bytes of the key that are no UTF-8 are surrogates (PEP 383): no key is lost.
    """

    key: str
    shard: Shard


def keys_by_shard(events: Sequence[Event]) -> dict[Shard, list[str]]:
    """The keys of events, those of each shard in their order."""
    keys: dict[Shard, list[str]] = {}
    for event in events:
        keys.setdefault(event.shard, []).append(event.key)
    return keys


Handler = Callable[[Sequence[Event]], Sequence[Result] | None]
AsyncHandler = Callable[[Sequence[Event]], Awaitable[Sequence[Result] | None]]


@dataclass(frozen=True, slots=True)
class Function:
    """A handler and how the server should treat its keys. Times are milliseconds; `timeout` is how
    long a client waits, 0 where none does."""

    name: str
    kind: Literal["MISS", "WRITE"]
    prefix: str
    handler: Handler | AsyncHandler
    options: tuple[str, ...]
    batch: int
    timeout: int
    version: str = ""
    each: bool = False
    known: Callable[[Shard], Iterable[str]] | None = None
    derived: str = ""
    stores: Callable[[str], bool] | None = None

    def serve_arguments(self) -> list[str]:
        """The arguments of KEYMISS.SERVE that register this function."""
        version = ["VERSION", self.version] if self.version else []
        each = ["EACH"] if self.each else []
        return [self.name, "ON", self.kind, "PREFIX", self.prefix, *version, *self.options, *each]


def milliseconds(duration: str) -> int:
    """The length of "250ms", "2s", "5m", "1h" or "1d".

    Raises:
        SetupError: it is written otherwise.
    """
    match = _DURATION.fullmatch(duration)
    if not match:
        raise SetupError(f"{duration!r} is no duration; write 250ms, 2s, 5m, 1h or 1d")
    return int(match[1]) * _UNITS[match[2]]


def _check_batch(batch: int) -> None:
    if not 1 <= batch <= MOST_IN_BATCH:
        raise SetupError(f"a batch of {batch} is impossible; write 1 to {MOST_IN_BATCH}")


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
) -> Callable[[Any], Function]:
    """Makes a handler compute the missing keys under a prefix.

    The handler gets a batch of events and returns one result for each, in their order: text or
    bytes, None for nil, or an exception, whose message the clients of that key get. When it raises
    instead, the events of the batch are tried one by one. A coroutine function runs in the event
    loop, a plain one in a thread.

    Args:
        prefix: at least 3 bytes; overlaps no other function's.
        name: the function's name in the server; the handler's own by default.
        cache: how long a computed value lives, "off" or "forever".
        timeout: how long a client waits.
        lease: how long the handler may take before the batch is given to another worker.
        pending: keys waiting at most; further clients get an error at once.
        batch: events in one call at most, 1 to 1024. Fewer when a call has taken longer than a
            fifth of `timeout`: then nobody would be answered in time.
        version: answers of another version are dropped when a worker starts.
        form: the exact form of the keys, like "greeting:<name>" (docs/commands.md, FORM). A missing
            key under the prefix that has another form is nil, and none of the handler's business.
        stores: tells of a key whether a value that is stored there may be the function's, where
            the form does not say it all. Others are not dropped with those of another version.

    Raises:
        SetupError: a duration or the batch is none.
    """
    _check_batch(batch)
    kept = cache if cache in ("off", "forever") else str(milliseconds(cache))
    waits = ("TIMEOUT", str(milliseconds(timeout)), "LEASE", str(milliseconds(lease)))
    formed = ("FORM", form) if form else ()
    options = ("CACHE", kept, *waits, "PENDING", str(pending), *formed)

    def decorate(handler: Handler | AsyncHandler) -> Function:
        known_as = name or handler.__name__
        waiting = milliseconds(timeout)
        return Function(
            *(known_as, "MISS", prefix, handler, options, batch, waiting, version), stores=stores
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
) -> Callable[[Any], Function]:
    """Makes a handler follow the keys under a prefix that are written or deleted. Several functions
    may follow the same ones.

    The handler is told which keys, not what happened: it looks. It may be told of a key twice and
    of one that has not changed. When a worker attaches, or the server has lost events, the handler
    is told of every key there is. A key that it raises for is logged and left until then; but where
    memory is short, or something cannot be reached, it is told of the key again after some seconds.

    Args:
        each: every worker is told of every key, as one that keeps an index needs; otherwise
            every key goes to one worker.
        known: the keys that the handler remembers of a shard. Those that are gone when the keys
            are walked are told, too.
        derived: a prefix of keys that the handler writes. They are told when the keys are walked,
            so that those whose source is gone are found.
        name, lease, pending, batch: as for `on_miss`.
        version: while workers of two versions are there, only those of the last one are told.

    Raises:
        SetupError: a duration or the batch is none.
    """
    _check_batch(batch)
    options = ("LEASE", str(milliseconds(lease)), "PENDING", str(pending))

    def decorate(handler: Handler | AsyncHandler) -> Function:
        known_as = name or handler.__name__
        return Function(
            known_as, "WRITE", prefix, handler, options, batch, 0, version, each, known, derived
        )

    return decorate
