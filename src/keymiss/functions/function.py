"""What a function is: a handler, the prefix of its keys, and options for the server.

There are two kinds. `MissFunction` computes keys that are asked for and missing, `WriteFunction`
follows keys that are written or deleted. `on_miss` and `on_write` (decorators.py) make them.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from keymiss.functions.shard import Shard
from keymiss.keys import encode

logger = logging.getLogger(__name__)

Value = str | bytes | None
Result = Value | Exception


@dataclass(frozen=True, slots=True)
class Event:
    """A key that was asked for and is missing, or one that was written or deleted.

    Bytes of the key that are not UTF-8 become surrogates (PEP 383), so that no key is lost.
    """

    key: str
    shard: Shard


def keys_by_shard(events: Sequence[Event]) -> dict[Shard, list[str]]:
    """The keys of events for each shard, in the order of the events."""
    keys: dict[Shard, list[str]] = {}
    for event in events:
        keys.setdefault(event.shard, []).append(event.key)
    return keys


Handler = Callable[[Sequence[Event]], Sequence[Result] | None]
AsyncHandler = Callable[[Sequence[Event]], Awaitable[Sequence[Result] | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function(ABC):
    """A handler, and how the server should treat its keys.

    `options` are further arguments of KEYMISS.SERVE; `batch` is how many events one call has at
    most; `version` names the code, so that values that other code has computed are recognised.
    """

    name: str
    prefix: str
    handler: Handler | AsyncHandler
    options: tuple[str, ...]
    batch: int
    version: str

    @abstractmethod
    def serve_arguments(self) -> list[str]:
        """The arguments of KEYMISS.SERVE that register this function."""

    @property
    @abstractmethod
    def patience(self) -> float:
        """How many seconds a client waits for a result, at most; 0 when no client waits."""

    @abstractmethod
    def results(self, returned: object, count: int) -> list[Result]:
        """One result for each of `count` events, from what the handler returned."""

    def _arguments(self, kind: str) -> list[str]:
        version = ["VERSION", self.version] if self.version else []
        return [self.name, "ON", kind, "PREFIX", self.prefix, *version, *self.options]


@dataclass(frozen=True, slots=True, kw_only=True)
class MissFunction(Function):
    """Computes missing keys. Its fields are explained at `on_miss`; `timeout` is in milliseconds.

    `stores` is None when the form of the keys says enough.
    """

    timeout: int
    stores: Callable[[str], bool] | None

    def serve_arguments(self) -> list[str]:
        """See `Function`."""
        return self._arguments("MISS")

    @property
    def patience(self) -> float:
        """See `Function`."""
        return self.timeout / 1000

    def results(self, returned: object, count: int) -> list[Result]:
        """See `Function`; a result that cannot be sent to a client becomes an error."""
        if not isinstance(returned, (list, tuple)) or len(returned) != count:
            wrong = TypeError(f"{self.name} must return a list of {count} results")
            logger.error("%s", wrong)
            return [wrong] * count
        return [_sendable(self, result) for result in returned]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFunction(Function):
    """Follows written keys. Its fields are explained at `on_write`; `known` is None when the
    handler remembers nothing."""

    each: bool
    known: Callable[[Shard], Iterable[str]] | None
    derived: str

    def serve_arguments(self) -> list[str]:
        """See `Function`."""
        return self._arguments("WRITE") + ["EACH"] * self.each

    @property
    def patience(self) -> float:
        """See `Function`: no client waits until a write is followed."""
        return 0.0

    def results(self, returned: object, count: int) -> list[Result]:
        """See `Function`: a handler that returns has followed all events."""
        return [None] * count


def _sendable(function: Function, result: object) -> Result:
    """The result as it can be sent, or an error when it cannot be sent."""
    if isinstance(result, str):
        try:
            return encode(result)
        except UnicodeEncodeError as error:
            return ValueError(f"{function.name} returned text that is not Unicode: {error}")
    if result is None or isinstance(result, bytes | Exception):
        return result
    return TypeError(f"{function.name} returned {type(result).__name__}; text or bytes is needed")
