"""What is read for a question: a sentence with its neighbours, noted with its document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from valkey.exceptions import ExecAbortError, OutOfMemoryError

from keymiss.answers.notes import Notes, drop_oldest, note, too_many, unnote
from keymiss.answers.tokens import HASH, unpack
from keymiss.answers.window import Window, make_window, window_numbers
from keymiss.errors import KeymissError, Moving, NotFound
from keymiss.functions import Shard
from keymiss.reader import Passage, Tokens
from keymiss.server.keys import AnswerKey, decode
from keymiss.server.topology import is_elsewhere
from keymiss.server.transactions import Command

TRIES = 10
TRY_SECONDS = 0.05
"""A document that moves to another node is whole again when all its keys are there."""


@dataclass(frozen=True, slots=True)
class Text:
    """What is read for a key: its window's text, with tokens where they have been made."""

    window: Window
    passage: str | Passage


Named = tuple[str, AnswerKey]


async def read_texts(
    shard: Shard, keys: Sequence[Named], tokens: Tokens, notes: Notes
) -> list[Text | KeymissError]:
    """The text to read for each key, which is noted with its document before the text is read.

    A document on its way to another node is tried again for a short while.
    """
    texts = await _read_once(shard, keys, tokens, notes)
    for _ in range(TRIES):
        moving = [number for number, text in enumerate(texts) if isinstance(text, Moving)]
        if not moving:
            break
        await asyncio.sleep(TRY_SECONDS)
        again = await _read_once(shard, [keys[number] for number in moving], tokens, notes)
        for number, text in zip(moving, again, strict=True):
            texts[number] = text
    return texts


async def _read_once(
    shard: Shard, keys: Sequence[Named], tokens: Tokens, notes: Notes
) -> list[Text | KeymissError]:
    # Sentences that do not exist are found out first: a stranger's keys leave no note behind.
    exists = await shard.read([("HEXISTS", key.keys.sentences, key.sentence) for _, key in keys])
    there = [named for named, reply in zip(keys, exists, strict=True) if reply == 1]
    now = int(time.time())
    read = iter(await shard.transactions([_reading(name, key, tokens, now) for name, key in there]))
    replies = [next(read) if reply == 1 else reply for reply in exists]
    no_room = await _read_without_notes(shard, keys, tokens, replies)
    texts = [
        _still_moving(shard, key, _text(key, reply, tokens))
        for (_, key), reply in zip(keys, replies, strict=True)
    ]
    # Forgotten between the two looks: the note would belong to no document.
    gone = [
        named
        for named, reply, text in zip(keys, exists, texts, strict=True)
        if reply == 1 and isinstance(text, NotFound)
    ]
    full = {
        key.keys.answers
        for (_, key), reply in zip(keys, replies, strict=True)
        if isinstance(reply, list) and too_many(reply)
    }
    after = [unnote(name, key) for name, key in gone] + [drop_oldest(noted) for noted in full]
    excess = notes.add(shard, [(name, key.keys.answers) for name, key in there])
    if no_room:
        excess += notes.make_room(shard)
    await shard.transactions([*([command] for command in after), *excess])
    return texts


def _reading(name: str, key: AnswerKey, tokens: Tokens, now: int) -> list[Command]:
    """One transaction: the note comes before the text, and the tokens are of that text."""
    return [*note(name, key.keys.answers, now), *_reading_text(key, tokens)]


def _reading_text(key: AnswerKey, tokens: Tokens) -> list[Command]:
    numbers = window_numbers(key.sentence)
    return [
        ("HMGET", key.keys.sentences, *numbers),
        ("HGET", key.keys.article, HASH),
        ("HMGET", key.keys.tokens(tokens.fingerprint), HASH, *numbers),
    ]


async def _read_without_notes(
    shard: Shard, keys: Sequence[Named], tokens: Tokens, replies: list[Any]
) -> bool:
    """Reads again where the server has no memory for a note, and says whether it had none: the
    answer will not be stored, since it could not be found again."""
    refused = [n for n, reply in enumerate(replies) if _lacks_memory(reply)]
    reading = [
        [("KEYMISS.DROP", keys[number][0]), *_reading_text(keys[number][1], tokens)]
        for number in refused
    ]
    for number, reply in zip(refused, await shard.transactions(reading), strict=True):
        replies[number] = reply
    return bool(refused)


def _lacks_memory(reply: object) -> bool:
    """Whether a transaction was refused for lack of memory, by its commands or at its end."""
    return isinstance(reply, OutOfMemoryError) or (
        isinstance(reply, ExecAbortError) and "OOM" in str(reply)
    )


def _still_moving(shard: Shard, key: AnswerKey, text: Text | KeymissError) -> Text | KeymissError:
    """A sentence that is not there may be on its way, where the slot is not the server's yet."""
    if isinstance(text, NotFound) and not shard.owns(key.keys.sentences):
        return _moving(key)
    return text


def _text(key: AnswerKey, read: object, tokens: Tokens) -> Text | KeymissError:
    """What to read, from the replies to `_reading`, or what the probe replied in their place."""
    replies: list[Any] = read if isinstance(read, list) else [read]
    for reply in replies:
        if is_elsewhere(reply):
            return _moving(key)
        if isinstance(reply, Exception):
            return KeymissError(f"the text of {key.keys.document!r} cannot be read: {reply}")
    if len(replies) == 1:
        return _no_sentence(key)
    texts, content_hash, (of_tokens, *packed) = replies[-3:]
    window = make_window(key.sentence, [None if text is None else decode(text) for text in texts])
    if window is None:
        return _no_sentence(key)
    if not tokens.concatenates:
        return Text(window, window.text)
    stored = dict(zip(window_numbers(key.sentence), packed, strict=True))
    wanted = [stored[window.first + index] for index in range(len(window.sentences))]
    if content_hash is None or of_tokens != content_hash or None in wanted:
        return Text(window, window.text)
    ids = np.concatenate([unpack(value, tokens.vocabulary) for value in wanted])
    return Text(window, Passage(window.text, ids))


def _no_sentence(key: AnswerKey) -> NotFound:
    return NotFound(f"document {key.keys.document!r} has no sentence {key.sentence}")


def _moving(key: AnswerKey) -> Moving:
    return Moving(f"the document {key.keys.document!r} moves to another node; ask again")
