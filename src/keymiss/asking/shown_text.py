"""Reads what is shown of a sentence beside an answer or an edge: its text, its document's title."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from valkey.exceptions import ValkeyError

from keymiss.keys import TITLE, DocumentKeys, decode_text
from keymiss.server.servers import Servers
from keymiss.server.transactions import Command

SHOW_SECONDS = 1.0
"""How long all texts together may take; after that each is asked for separately."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A sentence's text, and the title of its document."""

    text: str
    title: str


async def read_shown(
    servers: Servers, sentences: Sequence[tuple[DocumentKeys, int]]
) -> list[Shown | Exception | None]:
    """The text and the title of each sentence, which is given by document and number.

    None stands for a sentence that is gone, an exception for one that cannot be read in time, since
    its node may have died.
    """
    commands: list[Command] = []
    for keys, number in sentences:
        commands.append(("HGET", keys.sentences, number))
        commands.append(("HGET", keys.facts, TITLE))
    try:
        async with asyncio.timeout(SHOW_SECONDS):
            replies = await servers.execute_all(commands)
    except TimeoutError:
        replies = await asyncio.gather(*(_soon(servers, command) for command in commands))
    return [_shown(*pair) for pair in zip(replies[::2], replies[1::2], strict=True)]


def _shown(text: Any, title: Any) -> Shown | Exception | None:
    failed = next((one for one in (text, title) if isinstance(one, Exception)), None)
    if failed or text is None:
        return failed
    return Shown(decode_text(text), decode_text(title or b""))


async def _soon(servers: Servers, command: Command) -> Any:
    """The reply, or the error when there is no reply within a moment."""
    try:
        async with asyncio.timeout(SHOW_SECONDS / 4):
            return await servers.execute(*command)
    except (TimeoutError, ValkeyError, OSError) as error:
        return error
