"""Transactions in pipelines: several of them in one round trip, for keys in different slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from valkey.exceptions import ValkeyError

Command: TypeAlias = tuple[Any, ...]
Executed: TypeAlias = list[Any] | ValkeyError
"""The replies to a transaction's commands, or the first error. The error says why the transaction
was not executed, or why one command failed while the others were executed."""


def queued(commands: Sequence[Command]) -> list[Command]:
    """The commands of a transaction in a pipeline; all replies, errors too, go to `executed`."""
    # Names are bytes: otherwise the client would parse "QUEUED" as the command's own reply.
    return [("MULTI",), *((name.encode(), *rest) for name, *rest in commands), ("EXEC",)]


def executed(replies: Sequence[Any]) -> Executed:
    """The result of a transaction, from the replies to it."""
    result: Executed = replies[-1]
    done = result if isinstance(result, list) else [result]
    # The error of a command that was not queued says more than EXEC's "discarded because of".
    errors = (reply for reply in (*replies[:-1], *done) if isinstance(reply, ValkeyError))
    return next(errors, result)
