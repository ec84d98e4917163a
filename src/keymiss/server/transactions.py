"""Transactions in pipelines: several of them in one round trip, of keys in different slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from valkey.exceptions import ValkeyError

Command: TypeAlias = tuple[Any, ...]
Executed: TypeAlias = list[Any] | ValkeyError
"""What the commands of a transaction replied; or the first error: why it was not executed, or what
one of its commands met while the others were executed."""


def queued(commands: Sequence[Command]) -> list[Command]:
    """What to send in a pipeline for a transaction; the replies, errors too, go to `executed`."""
    # The client would read "QUEUED" as the command's own reply, were its name not bytes.
    return [("MULTI",), *((name.encode(), *rest) for name, *rest in commands), ("EXEC",)]


def executed(replies: Sequence[Any]) -> Executed:
    """What a transaction came to."""
    result: Executed = replies[-1]
    done = result if isinstance(result, list) else [result]
    # A command that could not be queued says more than EXEC's "discarded because of".
    errors = (reply for reply in (*replies[:-1], *done) if isinstance(reply, ValkeyError))
    return next(errors, result)
