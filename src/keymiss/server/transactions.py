"""Several transactions in one round trip, which may be of keys in different slots of a node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from valkey.exceptions import ResponseError

Command: TypeAlias = tuple[Any, ...]
Executed: TypeAlias = list[Any] | ResponseError
"""What the commands of a transaction replied, errors among them, or why it was not executed."""


def queued(transactions: Sequence[Sequence[Command]]) -> Iterator[Command]:
    """The commands to send in a pipeline; its replies, errors included, go to `executed`."""
    for commands in transactions:
        yield ("MULTI",)
        for name, *arguments in commands:
            # The client would read "QUEUED" as the command's own reply, were its name not bytes.
            yield (name.encode(), *arguments)
        yield ("EXEC",)


def executed(transactions: Sequence[Sequence[Command]], replies: Sequence[Any]) -> list[Executed]:
    """What each of the transactions came to."""
    results: list[Executed] = []
    end = 0
    for commands in transactions:
        start, end = end, end + len(commands) + 2
        result = replies[end - 1]
        # A command that could not be queued says more than EXEC's "discarded because of".
        refused = [reply for reply in replies[start:end] if isinstance(reply, ResponseError)]
        results.append(refused[0] if refused else result)
    return results
